/*
 * mutant: one behaviour broken on purpose, to show that a conformance case
 * notices (make mutants).
 *
 * In a normal build MUTANT(NAME) is false and nothing of this is there.  With
 * MUTANTS=1 the server takes --mutant NAME and breaks that one thing: one line
 * in the code each.  The table says which, and which suite must fail then, or
 * suites, or which part of one was written with it; "delay" and "impatient" are POP3 cases
 * against a server with LOGIN-DELAY, or with a short autologout, and "restarts" those cases of a
 * relay that stop it (tests/mutants/play.sh).
 */
#ifndef SERVER_CORE_MUTANT_H
#define SERVER_CORE_MUTANT_H

#include "base/buf.h"
#include "reference-server/core/mutant_relay.h"

#include <stdbool.h>
#include <string.h>

#ifdef MUTANTS

/* name in the code, name on the command line, suite or part of one that kills it, what is broken */
#define MUTANT_TABLE(X)                                                                                      \
	X(SMTP_KEEPS_LEADING_DOT, "smtp-keeps-leading-dot", "smtp", "a stuffed period stays in the content") \
	X(SMTP_BARE_LF_LINE, "smtp-bare-lf-line", "smtp", "LF alone begins a line in which a period counts") \
	X(SMTP_RSET_KEEPS, "smtp-rset-keeps", "smtp", "RSET leaves the transaction as it is")                \
	X(SMTP_EHLO_KEEPS, "smtp-ehlo-keeps", "smtp", "EHLO and HELO leave the transaction as it is")        \
	X(SMTP_HELO_LISTS, "smtp-helo-lists", "smtp", "HELO is answered with the list of extensions")        \
	X(SMTP_VERBS_IN_CAPITALS, "smtp-verbs-in-capitals", "smtp", "verbs in lower case are unknown")       \
	X(SMTP_QUIT_STAYS, "smtp-quit-stays", "smtp", "the connection stays open after QUIT")                \
	X(SMTP_OPEN_RELAY, "smtp-open-relay", "smtp", "mail is relayed for everybody")                       \
	X(SMTP_ANY_PARAMETER, "smtp-any-parameter", "smtp", "unknown parameters are taken")                  \
	X(SMTP_NO_POSTMASTER, "smtp-no-postmaster", "smtp", "postmaster is unknown")                         \
	X(SMTP_NOOP_RESETS, "smtp-noop-resets", "smtp", "NOOP ends the transaction")                         \
	X(SMTP_NOOP_TWICE, "smtp-noop-twice", "smtp", "NOOP is answered twice")                              \
	X(SMTP_VRFY_LIES, "smtp-vrfy-lies", "smtp", "VRFY says 250 to everything")                           \
	X(SMTP_SHORT_LINES, "smtp-short-lines", "smtp", "command lines have half the length they may have")  \
	X(SMTP_FEW_RECIPIENTS, "smtp-few-recipients", "smtp", "the 51st recipient is one too many")          \
	X(SMTP_NO_RECEIVED, "smtp-no-received", "smtp", "no Received field is added")                        \
	X(SMTP_CLOSES_ON_ERROR, "smtp-closes-on-error", "smtp", "an unknown command ends the session")       \
	X(SMTP_NO_TRAILING_BLANKS, "smtp-no-trailing-blanks", "smtp", "blanks before a CRLF are a mistake")  \
	X(SMTP_HELP_LINE_MIXED, "smtp-mixed-codes", "smtp", "the EHLO reply changes its code")               \
	X(SMTP_TLS_KEEPS_EHLO, "smtp-tls-keeps-ehlo", "smtp", "the EHLO before TLS counts under TLS")        \
	X(SMTP_TLS_TWICE, "smtp-tls-twice", "smtp", "STARTTLS is offered under TLS")                         \
	X(SMTP_TLS_INJECTED, "smtp-tls-injected", "smtp", "what is behind STARTTLS is answered under TLS")   \
	X(SMTP_BDAT_RUNS, "smtp-bdat-runs", "smtp", "the octets of a refused BDAT are run as commands")      \
	X(SMTP_SEVEN_BITS, "smtp-seven-bits", "smtp", "content loses its eighth bit")                        \
	X(SMTP_SIZE_IGNORED, "smtp-size-ignored", "smtp", "a declared size is not compared with the limit")  \
	X(SMTP_NO_STATUS, "smtp-no-status", "smtp", "MAIL is answered without an enhanced status code")      \
	X(SMTP_AUTH_ANYBODY, "smtp-auth-anybody", "submission", "every password is right")                   \
	X(SMTP_AUTH_TWICE, "smtp-auth-twice", "submission", "AUTH works again after it has succeeded")       \
	X(SMTP_AUTH_UNCANCELLED, "smtp-auth-uncancelled", "submission",                                      \
	  "an asterisk in an exchange is answered 250")                                                      \
	X(SMTP_NO_AUTH_NEEDED, "smtp-no-auth-needed", "submission", "mail is submitted by anybody")          \
	X(SMTP_PLAIN_IN_CLEAR, "smtp-plain-in-clear", "submission", "plaintext mechanisms work without TLS") \
	X(SMTP_WITH_SMTP, "smtp-with-smtp", "submission", "Received says with SMTP whatever was spoken")     \
	X(SMTP_NO_MESSAGE_ID, "smtp-no-message-id", "submission", "no Message-ID is added")                  \
	X(SMTP_NO_8BITMIME, "smtp-no-8bitmime", "smtp/rfc5321/2.4", "8BITMIME is not offered")               \
	X(SMTP_NO_SIZE, "smtp-no-size", "smtp/rfc5321/4.5.3.1.7", "SIZE is not offered, and counts")         \
	X(SMTP_ODD_KEYWORD, "smtp-odd-keyword", "smtp/rfc5321/2.2.2",                                        \
	  "a keyword that nobody registered is offered")                                                     \
	X(SMTP_HELP_UNLISTED, "smtp-help-unlisted", "smtp/rfc5321/4.1.1.1",                                  \
	  "HELP is not offered, and works")                                                                  \
	X(SMTP_EXPN_UNLISTED, "smtp-expn-unlisted", "submission/rfc5321/3.5.2",                              \
	  "EXPN is not offered, and works")                                                                  \
	X(SMTP_ETRN_UNLISTED, "smtp-etrn-unlisted", "smtp/rfc5321/4.1.1.1",                                  \
	  "ETRN is not offered, and answered 250")                                                           \
	X(SMTP_SEND_UNLISTED, "smtp-send-unlisted", "smtp/rfc5321/F.6",                                      \
	  "SEND and TURN are not offered, and answered 250")                                                 \
	X(SMTP_LISTED_502, "smtp-listed-502", "smtp/rfc5321/4.2.4",                                          \
	  "HELP, BDAT and STARTTLS are offered and answered 502")                                            \
	X(SMTP_KEYWORD_PARAMETERS, "smtp-keyword-parameters", "smtp/rfc2920/2",                              \
	  "PIPELINING and ENHANCEDSTATUSCODES have parameters")                                              \
	X(SMTP_KEYWORD_IN_CAPITALS, "smtp-keyword-in-capitals", "smtp/rfc5321/4.1.1.1",                      \
	  "parameters in lower case are unknown")                                                            \
	X(SMTP_SHORT_NAMES, "smtp-short-names", "smtp/rfc5321/4.5.3.1.2",                                    \
	  "EHLO takes no name of more than 100 octets")                                                      \
	X(SMTP_ANY_NAME, "smtp-any-name", "smtp/rfc1123", "HELO takes anything for a name")                  \
	X(SMTP_NAME_VERIFIED, "smtp-name-verified", "smtp/rfc5321/4.1.4",                                    \
	  "a name other than the client's is refused at EHLO")                                               \
	X(SMTP_ODD_GREETING, "smtp-odd-greeting", "smtp/rfc5321/4.2",                                        \
	  "the greeting begins with a word that is no domain")                                               \
	X(SMTP_REFUSES_AND_CLOSES, "smtp-refuses-and-closes", "smtp/rfc5321/3.1",                            \
	  "after a greeting of 554 any command ends the session")                                            \
	X(SMTP_REFUSES_WITH_521, "smtp-refuses-with-521", "smtp/rfc7504",                                    \
	  "after a greeting of 521 QUIT is not answered")                                                    \
	X(SMTP_NO_TEXT, "smtp-no-text", "smtp/rfc5321/4.2",                                                  \
	  "there is no text behind the code of a reply to NOOP")                                             \
	X(SMTP_NO_BLANK, "smtp-no-blank", "smtp/rfc5321/4.2.1",                                              \
	  "there is no blank behind the code of a reply to NOOP")                                            \
	X(SMTP_ODD_CODES, "smtp-odd-codes", "smtp/rfc5321/4.3.2",                                            \
	  "syntax errors have codes of this server's own")                                                   \
	X(SMTP_ODD_CODE_CLASS, "smtp-odd-code-class", "smtp/rfc5321/4.2",                                    \
	  "what is not known is answered 600")                                                               \
	X(SMTP_ZERO_STATUS, "smtp-zero-status", "smtp/rfc3463",                                              \
	  "a number of a status code has a leading zero")                                                    \
	X(SMTP_OWN_STATUS, "smtp-own-status", "smtp/rfc3463", "a status code is none that is registered")    \
	X(SMTP_STATUS_IN_354, "smtp-status-in-354", "smtp/rfc2034", "the reply 354 has a status code")       \
	X(SMTP_STATUS_AFTER_EHLO, "smtp-status-after-ehlo", "smtp/rfc2034",                                  \
	  "only after EHLO have replies a status code")                                                      \
	X(SMTP_CONTROLS_TAKEN, "smtp-controls-taken", "smtp/rfc5321/4.1.2",                                  \
	  "control characters in commands are ignored")                                                      \
	X(SMTP_VRFY_550, "smtp-vrfy-550", "smtp/rfc5321/7.3", "VRFY is answered 550, whoever is asked for")  \
	X(SMTP_VRFY_RESETS, "smtp-vrfy-resets", "smtp/rfc5321/4.1.1.7", "VRFY and EXPN end the transaction") \
	X(SMTP_HELP_RESETS, "smtp-help-resets", "smtp/rfc5321/4.1.1.8", "HELP ends the transaction")         \
	X(SMTP_VRFY_BARE, "smtp-vrfy-bare", "submission/rfc5321/3.5.2", "VRFY gives a local-part only")      \
	X(SMTP_VRFY_ROUTE, "smtp-vrfy-route", "submission/rfc5321/3.5.2", "VRFY gives a source route")       \
	X(SMTP_VRFY_FULL_ONLY, "smtp-vrfy-full-only", "submission/rfc5321/3.5.1",                            \
	  "VRFY knows no local-part without its domain")                                                     \
	X(SMTP_NO_NULL_PATH, "smtp-no-null-path", "smtp submission", "a null reverse-path is refused")       \
	X(SMTP_NO_LITERALS, "smtp-no-literals", "smtp/rfc1123", "address literals are a mistake")            \
	X(SMTP_FOLDS_SENDER, "smtp-folds-sender", "smtp/rfc5321/2.4",                                        \
	  "the sender's local-part loses its capitals")                                                      \
	X(SMTP_KEEPS_RECIPIENTS, "smtp-keeps-recipients", "smtp/rfc5321/3.3",                                \
	  "the last recipient of a message gets the next one too")                                           \
	X(SMTP_JUDGES_HEADER, "smtp-judges-header", "smtp/rfc5321/4.5.3.1.8",                                \
	  "a header of more than 3000 octets is refused")                                                    \
	X(SMTP_WANTS_DATE, "smtp-wants-date", "smtp/rfc5321/3.3", "a message without Date is refused")       \
	X(SMTP_RESENT_ONCE, "smtp-resent-once", "smtp/rfc5321/3.3", "two Resent-To fields are one too many") \
	X(SMTP_FEW_HOPS, "smtp-few-hops", "smtp/rfc5321/6.3", "50 Received fields are too many")             \
	X(SMTP_DELIVERS_REFUSED, "smtp-delivers-refused", "smtp/rfc5321/4.2.5",                              \
	  "a message that is refused is delivered nonetheless")                                              \
	X(SMTP_ESCAPES_FROM, "smtp-escapes-from", "smtp/rfc5321/4.5.2",                                      \
	  "lines that begin with From are changed")                                                          \
	X(SMTP_SHOWS_RECIPIENTS, "smtp-shows-recipients", "smtp/rfc5321/7.2",                                \
	  "the header tells all recipients")                                                                 \
	X(SMTP_APPARENTLY_TO, "smtp-apparently-to", "smtp/rfc5321/7.2", "an Apparently-To field is added")   \
	X(SMTP_NO_RETURN_PATH, "smtp-no-return-path", "smtp/rfc5321/4.4", "no Return-Path is added")         \
	X(SMTP_OLD_RETURN_PATH, "smtp-old-return-path", "smtp/rfc5321/4.4",                                  \
	  "a Return-Path that came with a message stays")                                                    \
	X(SMTP_TWO_RETURN_PATHS, "smtp-two-return-paths", "smtp/rfc5321/4.4", "Return-Path is added twice")  \
	X(SMTP_OTHER_RETURN_PATH, "smtp-other-return-path", "smtp/rfc5321/4.4",                              \
	  "Return-Path names postmaster")                                                                    \
	X(RECEIVED_SHORT_YEAR, "received-short-year", "smtp/rfc5321/4.4",                                    \
	  "the year in Received has two digits")                                                             \
	X(RECEIVED_ZONE_NAME, "received-zone-name", "smtp/rfc5321/4.4", "the zone in Received is a name")    \
	X(RECEIVED_ODD_WITH, "received-odd-with", "smtp/rfc5321/4.4",                                        \
	  "Received says with a protocol that is not registered")                                            \
	X(RECEIVED_ODD_VIA, "received-odd-via", "smtp/rfc5321/4.4",                                          \
	  "Received says via a link that is not registered")                                                 \
	X(RECEIVED_ODD_CLAUSE, "received-odd-clause", "smtp/rfc5321/4.4",                                    \
	  "Received has a clause that is not registered")                                                    \
	X(RECEIVED_ODD_ORDER, "received-odd-order", "smtp/rfc5321/4.4", "Received says id before with")      \
	X(RECEIVED_NO_BY, "received-no-by", "smtp/rfc5321/4.4", "Received does not say by whom")             \
	X(RECEIVED_MANY_FOR, "received-many-for", "smtp/rfc5321/4.4", "Received says for all recipients")    \
	X(DSN_NONE_SENT, "dsn-none-sent", "submission/rfc5321/3.6.3", "undeliverable mail vanishes")         \
	X(DSN_WITH_SENDER, "dsn-with-sender", "submission/rfc5321/3.6.3", "notifications have a sender")     \
	X(DSN_FIRST_ONLY, "dsn-first-only", "submission/rfc5321/4.4",                                        \
	  "notifications name the first recipient that failed")                                              \
	X(DSN_OTHER_REPORTER, "dsn-other-reporter", "submission/rfc5321/3.6.3",                              \
	  "notifications name another reporter")                                                             \
	X(DSN_LONG_LINES, "dsn-long-lines", "submission/rfc5322",                                            \
	  "a line of a notification has 1000 characters")                                                    \
	X(DSN_NO_DATE, "dsn-no-date", "submission/rfc5322", "notifications have no Date")                    \
	X(DSN_ODD_DATE, "dsn-odd-date", "submission/rfc5322",                                                \
	  "the Date of notifications is one that does not exist")                                            \
	X(DSN_NO_MESSAGE_ID, "dsn-no-message-id", "submission/rfc5322", "notifications have no Message-ID")  \
	X(DSN_GROUP_FROM, "dsn-group-from", "submission/rfc6854", "notifications are from a group")          \
	X(DSN_COMMENT_FROM, "dsn-comment-from", "submission/rfc5322",                                        \
	  "a comment names the author of notifications")                                                     \
	X(DSN_BARE_LF, "dsn-bare-lf", "submission/rfc5322", "a line of a notification ends in LF")           \
	X(DSN_ODD_FIELD, "dsn-odd-field", "submission/rfc5322",                                              \
	  "a field of a notification has a blank before its colon")                                          \
	X(DSN_BLANK_FOLD, "dsn-blank-fold", "submission/rfc5322",                                            \
	  "a folded line of a notification is blank")                                                        \
	X(SUBMIT_PARTIAL_DOMAIN, "submit-partial-domain", "submission",                                      \
	  "domains of one label go through in the envelope")                                                 \
	X(SUBMIT_ANY_ADDRESS, "submit-any-address", "submission",                                            \
	  "addresses in the header are not looked at")                                                       \
	X(SUBMIT_ANY_FIELDS, "submit-any-fields", "submission", "a message without From is taken")           \
	X(KEYWORD_WITH_VALUE, "keyword-with-value", "smtp",                                                  \
	  "DSN, 8BITMIME, STARTTLS, BINARYMIME and SMTPUTF8 have parameters")                                \
	X(KEYWORD_TWO_NUMBERS, "keyword-two-numbers", "smtp", "SIZE and DELIVERBY have two numbers")         \
	X(DSN_UNKNOWN, "dsn-unknown", "smtp",                                                                \
	  "RET, ENVID, NOTIFY and ORCPT are parameters that are not known")                                  \
	X(PARAMETER_VALUE_IN_CAPITALS, "parameter-value-in-capitals", "smtp",                                \
	  "values of RET and NOTIFY in lower case are none")                                                 \
	X(PARAMETER_TWICE, "parameter-twice", "smtp", "a parameter may be there twice")                      \
	X(PARAMETER_ANY_VALUE, "parameter-any-value", "smtp", "a parameter may have any value")              \
	X(PARAMETER_SHORT, "parameter-short", "smtp", "ENVID and ORCPT have half the length they may have")  \
	X(PARAMETER_NO_PARENTHESES, "parameter-no-parentheses", "submission",                                \
	  "parentheses in a value are a mistake")                                                            \
	X(BY_NOTHING_LEFT, "by-nothing-left", "smtp", "BY with R takes a time of zero")                      \
	X(BY_POSITIVE_ONLY, "by-positive-only", "smtp", "BY with N takes no negative time")                  \
	X(BY_FORGOTTEN, "by-forgotten", "submission", "the time that BY gives is forgotten")                 \
	X(HOLD_FORGOTTEN, "hold-forgotten", "submission", "the time that HOLDFOR gives is forgotten")        \
	X(HOLD_ANY_TIME, "hold-any-time", "submission", "HOLDFOR and HOLDUNTIL have no limit")               \
	X(HOLD_EVERYWHERE, "hold-everywhere", "smtp", "FUTURERELEASE is offered to everybody")               \
	X(HOLD_UNTOLD, "hold-untold", "submission", "FUTURERELEASE does not tell the latest time")           \
	X(LIMITS_SEVEN_DIGITS, "limits-seven-digits", "smtp", "a number of LIMITS has seven digits")         \
	X(AUTH_NO_LIST, "auth-no-list", "submission", "AUTH is offered without the names of mechanisms")     \
	X(AUTH_PARAMETER_UNKNOWN, "auth-parameter-unknown", "submission",                                    \
	  "AUTH= is a parameter that is not known")                                                          \
	X(AUTH_PARAMETER_SHORT, "auth-parameter-short", "submission",                                        \
	  "the value of AUTH= has 200 characters at most")                                                   \
	X(AUTH_NO_BLANK, "auth-no-blank", "submission", "an empty challenge is 334 without a blank")         \
	X(AUTH_TALKS, "auth-talks", "submission", "a challenge has words beside its base64")                 \
	X(AUTH_OLD_CODES, "auth-old-codes", "submission",                                                    \
	  "refusals of AUTH have 5.7.0, whatever the reason")                                                \
	X(AUTH_EMPTY_IS_NONE, "auth-empty-is-none", "submission", "\"=\" behind a mechanism is no response") \
	X(AUTH_FOR_ANYBODY, "auth-for-anybody", "submission", "one user may log in as another")              \
	X(AUTH_BEFORE_NOOP, "auth-before-noop", "submission", "NOOP and RSET need a login")                  \
	X(SUBMIT_521, "submit-521", "submission", "MAIL without a login is answered 521")                    \
	X(SUBMIT_ODD_CODES, "submit-odd-codes", "submission",                                                \
	  "what RFC 6409 refuses has codes of this server's own")                                            \
	X(SUBMIT_ODD_SENDER, "submit-odd-sender", "submission",                                              \
	  "a Sender field is added that has no address")                                                     \
	X(SCRAM_NO_BINDING, "scram-no-binding", "submission",                                                \
	  "SCRAM knows no channel binding, and says it does")                                                \
	X(TLS_FOR_ALL, "tls-for-all", "smtp", "nothing works without TLS")                                   \
	X(TLS_KEEPS_NAME, "tls-keeps-name", "smtp", "the name that EHLO gave before TLS stays")              \
	X(TLS_IN_VAIN, "tls-in-vain", "smtp", "STARTTLS is offered and answered 454")                        \
	X(BDAT_ANY_MARKER, "bdat-any-marker", "smtp", "any word behind the size ends the message")           \
	X(BDAT_MARKER_IN_CAPITALS, "bdat-marker-in-capitals", "smtp", "LAST in lower case is a mistake")     \
	X(BDAT_EMPTY_ENDS, "bdat-empty-ends", "smtp", "a chunk of no octets ends the message")               \
	X(BINARY_WITHOUT_CHUNKING, "binary-without-chunking", "smtp",                                        \
	  "BINARYMIME is offered without CHUNKING")                                                          \
	X(BINARY_LABEL_REFUSED, "binary-label-refused", "smtp",                                              \
	  "a transfer encoding without BODY is refused")                                                     \
	X(SIZE_IS_EXACT, "size-is-exact", "smtp", "content of another size than declared is refused")        \
	X(DSN_ON_SUCCESS, "dsn-on-success", "submission", "what is delivered is reported, whoever asked")    \
	X(DSN_NO_SUCCESS, "dsn-no-success", "submission", "what is delivered is not reported")               \
	X(DSN_ON_NEVER, "dsn-on-never", "submission", "failures are reported, whoever wants to know")        \
	X(DSN_ENVID_ENCODED, "dsn-envid-encoded", "submission",                                              \
	  "Original-Envelope-Id has the encoding of ENVID")                                                  \
	X(DSN_SAYS_NOTHING, "dsn-says-nothing", "submission",                                                \
	  "notifications have nothing of ENVID, ORCPT, BY and HOLDFOR")                                      \
	X(DSN_SAYS_TOO_MUCH, "dsn-says-too-much", "submission", "notifications have what nobody gave them")  \
	X(DSN_NO_CONTENT, "dsn-no-content", "submission", "RET=FULL brings no content back")                 \
	X(DSN_CONTENT_ALWAYS, "dsn-content-always", "submission",                                            \
	  "what is delivered comes back with its content")                                                   \
	X(DSN_FOLDS_RECIPIENT, "dsn-folds-recipient", "submission",                                          \
	  "notifications lose the capitals of the recipient")                                                \
	X(LMTP_LHLO_KEEPS, "lmtp-lhlo-keeps", "lmtp", "LHLO leaves the transaction as it is")                \
	X(LMTP_BDAT_ANSWERS, "lmtp-bdat-answers", "lmtp",                                                    \
	  "BDAT LAST is answered where nobody is to be answered for")                                        \
	X(LMTP_WITH_SMTP, "lmtp-with-smtp", "lmtp", "Received says with SMTP, in LMTP too")                  \
	X(UTF8_REFUSED, "utf8-refused", "smtp", "addresses beyond ASCII are refused with SMTPUTF8 too")      \
	X(UTF8_ODD_CODES, "utf8-odd-codes", "smtp", "addresses beyond ASCII are refused with 501 5.1.7")     \
	X(UTF8_WITH_VALUE, "utf8-with-value", "smtp", "SMTPUTF8 takes a value")                              \
	X(UTF8_IN_REPLIES, "utf8-in-replies", "smtp", "replies have characters beyond ASCII")                \
	X(RECEIVED_NO_TLS, "received-no-tls", "submission", "Received does not tell the cipher suite")       \
	X(SUBMIT_OFFERS_LESS, "submit-offers-less", "submission",                                            \
	  "PIPELINING, DSN, 8BITMIME and ENHANCEDSTATUSCODES are not offered")                               \
	X(SUBMIT_OFFERS_ETRN, "submit-offers-etrn", "submission",                                            \
	  "ETRN and ATRN are offered to those who submit")                                                   \
	X(LMTP_OFFERS_LESS, "lmtp-offers-less", "lmtp",                                                      \
	  "PIPELINING, 8BITMIME and ENHANCEDSTATUSCODES are not offered")                                    \
	X(AUTH_LOST_BY_RSET, "auth-lost-by-rset", "submission", "RSET ends the login")                       \
	X(AUTH_IN_CAPITALS, "auth-in-capitals", "submission",                                                \
	  "names of mechanisms in lower case are unknown")                                                   \
	X(AUTH_NO_IDENTITY, "auth-no-identity", "submission",                                                \
	  "an authorization identity is refused, be it one's own")                                           \
	X(SUBMIT_NO_COMMENTS, "submit-no-comments", "submission",                                            \
	  "comments in address fields are malformed")                                                        \
	X(SUBMIT_FOLDS_ADDRESSES, "submit-folds-addresses", "submission",                                    \
	  "submitted messages lose their capitals")                                                          \
	X(SMTP_STOPS_SILENTLY, "smtp-stops-silently", "smtp/rfc5321/3.8",                                    \
	  "sessions end without a word when the server is stopped")                                          \
	X(SMTP_NO_OWN_LITERAL, "smtp-no-own-literal", "smtp/rfc1123",                                        \
	  "the server's own address is not known as its own")                                                \
	X(SMTP_COMPLETES_NAMES, "smtp-completes-names", "submission/rfc5321/5.1",                            \
	  "a domain of one label is taken for the server's own")                                             \
	X(SMTP_AUTH_501, "smtp-auth-501", "smtp/rfc5321/4.2.1",                                              \
	  "a mechanism that is not there is answered 501")                                                   \
	X(SMTP_521_FOR_SOME, "smtp-521-for-some", "smtp/rfc7504",                                            \
	  "a mailbox that is not there is answered 521")                                                     \
	X(SMTP_DELIVERS_DEFERRED, "smtp-delivers-deferred", "smtp/rfc5321/4.2.5",                            \
	  "a message that is answered 451 is delivered nonetheless")                                         \
	X(SMTP_UNQUOTES_SENDER, "smtp-unquotes-sender", "smtp/rfc5321/4.1.2",                                \
	  "Return-Path loses the quotes of a local-part")                                                    \
	X(SMTP_NO_EHLO, "smtp-no-ehlo", "smtp", "EHLO is unknown")                                           \
	X(SMTP_EHLO_504, "smtp-ehlo-504", "smtp", "EHLO without a name is answered 504")                     \
	X(SMTP_BAD_EHLO_RESETS, "smtp-bad-ehlo-resets", "smtp", "EHLO that is refused ends the transaction") \
	X(SMTP_NO_VRFY, "smtp-no-vrfy", "smtp", "VRFY and EXPN are unknown")                                 \
	X(SMTP_VRFY_252_ONCE, "smtp-vrfy-252-once", "smtp", "the second VRFY is answered 554")               \
	X(SMTP_NOOP_ALONE, "smtp-noop-alone", "smtp", "NOOP takes no argument")                              \
	X(SMTP_ANY_ARGUMENT, "smtp-any-argument", "smtp", "commands without parameters take some")           \
	X(SMTP_ORDER_554, "smtp-order-554", "smtp submission", "what is out of order is answered 554")       \
	X(SMTP_NO_ROUTES, "smtp-no-routes", "smtp", "source routes are malformed")                           \
	X(SMTP_MALFORMED_251, "smtp-malformed-251", "smtp submission", "malformed paths are answered 251")   \
	X(SMTP_UNKNOWN_250, "smtp-unknown-250", "smtp", "recipients who are not there are answered 250")     \
	X(SMTP_LONG_LINE_TWICE, "smtp-long-line-twice", "smtp", "a line that is too long is answered twice") \
	X(SMTP_HELP_TWO_CODES, "smtp-help-two-codes", "smtp",                                                \
	  "the lines of HELP have different status codes")                                                   \
	X(SMTP_DELIVERS_TWICE, "smtp-delivers-twice", "smtp", "everybody gets everything twice")             \
	X(SMTP_NO_LAST_REPLY, "smtp-no-last-reply", "smtp submission",                                       \
	  "sessions end instead of the reply to a content")                                                  \
	X(SMTP_ROUTES_BY_HEADER, "smtp-routes-by-header", "smtp",                                            \
	  "who is named in Apparently-To is a recipient")                                                    \
	X(SMTP_CHANGES_RECEIVED, "smtp-changes-received", "smtp", "Received fields of others are changed")   \
	X(BDAT_NO_LENGTH, "bdat-no-length", "smtp", "BDAT without a length has none")                        \
	X(AUTH_ANY_BASE64, "auth-any-base64", "submission", "what is not base64 is answered 334")            \
	X(AUTH_LOGIN_535, "auth-login-535", "submission", "LOGIN with a name at once is answered 535")       \
	X(POP3_NO_TOP, "pop3-no-top", "pop3", "TOP is listed and unknown")                                   \
	X(ALIAS_AS_SENDER, "alias-as-sender", "smtp", "mail to an alias has the alias for a sender")         \
	X(LIST_WITHOUT_SENDER, "list-without-sender", "submission", "who writes to a list gets no copy")     \
	X(EXPN_FIRST_ONLY, "expn-first-only", "submission", "EXPN gives the first mailbox of a list")        \
	X(EXPN_TALKS, "expn-talks", "submission", "EXPN has a line without a mailbox")                       \
	X(DSN_OTHER_STATUS, "dsn-other-status", "submission/rfc3463",                                        \
	  "a delivery is reported with the status 2.0.0")                                                    \
	X(DSN_SAME_ID, "dsn-same-id", "submission/rfc5322", "all notifications have one Message-ID")         \
	X(LMTP_ONE_REPLY, "lmtp-one-reply", "lmtp", "the content has one reply for all recipients")          \
	X(LMTP_TAKES_EHLO, "lmtp-takes-ehlo", "lmtp", "EHLO and HELO work in LMTP")                          \
	X(POP3_NO_STUFFING, "pop3-no-stuffing", "pop3", "periods are not doubled in RETR")                   \
	X(POP3_COUNTS_DELETED, "pop3-counts-deleted", "pop3", "STAT counts what is marked as deleted")       \
	X(POP3_WRONG_OCTETS, "pop3-wrong-octets", "pop3", "LIST says one octet too many")                    \
	X(POP3_NO_LOCK, "pop3-no-lock", "pop3", "two sessions have one maildrop")                            \
	X(POP3_RSET_KEEPS, "pop3-rset-keeps", "pop3", "RSET leaves marks of deletion")                       \
	X(POP3_QUIT_FORGETS, "pop3-quit-forgets", "pop3", "QUIT removes nothing")                            \
	X(POP3_REMOVES_UNASKED, "pop3-removes-unasked", "pop3", "a lost session removes what it has marked") \
	X(POP3_TLS_INJECTED, "pop3-tls-injected", "pop3", "what is behind STLS is answered under TLS")       \
	X(POP3_ANY_STATE, "pop3-any-state", "pop3", "commands work in every state")                          \
	X(POP3_TOP_WHOLE, "pop3-top-whole", "pop3", "TOP sends the whole message")                           \
	X(POP3_UID_BY_NUMBER, "pop3-uid-by-number", "pop3", "the unique-id is the number in the session")    \
	X(POP3_DELETED_STAYS, "pop3-deleted-stays", "pop3", "a message marked as deleted can be used")       \
	X(POP3_VERBS_IN_CAPITALS, "pop3-verbs-in-capitals", "pop3", "keywords in lower case are unknown")    \
	X(POP3_DELAY_IGNORED, "pop3-delay-ignored", "delay", "LOGIN-DELAY is announced and not enforced")    \
	X(POP3_DELAY_GROWS, "pop3-delay-grows", "delay", "LOGIN-DELAY is more after a login")                \
	X(POP3_DELAY_NO_CODE, "pop3-delay-no-code", "delay",                                                 \
	  "a login too early is refused without its code")                                                   \
	X(POP3_SILENCE_REMOVES, "pop3-silence-removes", "impatient", "silence ends a session as QUIT does")  \
	X(POP3_STUFFING_FORGETS, "pop3-stuffing-forgets", "pop3",                                            \
	  "each piece of a message counts as a line")                                                        \
	X(POP3_PASS_ALONE, "pop3-pass-alone", "pop3", "PASS without USER is answered +OK")                   \
	X(POP3_ANYBODY, "pop3-anybody", "pop3", "every password opens a maildrop")                           \
	X(POP3_MECHANISM_IN_CAPITALS, "pop3-mechanism-in-capitals", "pop3",                                  \
	  "mechanisms in lower case are unknown")                                                            \
	X(POP3_ANY_MECHANISM, "pop3-any-mechanism", "pop3", "an unknown mechanism gets a challenge")         \
	X(POP3_NO_EMPTY_CHALLENGE, "pop3-no-empty-challenge", "pop3", "AUTH wants an initial response")      \
	X(POP3_CANCEL_OK, "pop3-cancel-ok", "pop3", "an asterisk in an exchange is answered +OK")            \
	X(POP3_ANY_BASE64, "pop3-any-base64", "pop3", "what is not base64 gets a challenge")                 \
	X(POP3_STLS_AGAIN, "pop3-stls-again", "pop3", "STLS under TLS is answered +OK")                      \
	X(POP3_TLS_LOGS_IN, "pop3-tls-logs-in", "pop3", "STLS leads to the TRANSACTION state")               \
	X(POP3_QUIT_STAYS, "pop3-quit-stays", "pop3", "the connection stays open after QUIT")                \
	X(POP3_MISSING_OK, "pop3-missing-ok", "pop3", "numbers of no message are answered +OK")              \
	X(POP3_HEX_OCTETS, "pop3-hex-octets", "pop3", "LIST gives sizes in hexadecimal")                     \
	X(POP3_FROM_ZERO, "pop3-from-zero", "pop3", "LIST counts from zero")                                 \
	X(POP3_SAME_UID, "pop3-same-uid", "pop3", "all messages have one unique-id")                         \
	X(POP3_NEW_UIDS, "pop3-new-uids", "pop3", "each session has other unique-ids")                       \
	X(POP3_EMPTY_REFUSED, "pop3-empty-refused", "pop3", "LIST of an empty maildrop is refused")          \
	X(POP3_TOP_SHORT, "pop3-top-short", "pop3", "TOP gives a line less than asked for")                  \
	X(POP3_UNKNOWN_OK, "pop3-unknown-ok", "pop3", "unknown commands are answered +OK")                   \
	X(POP3_SHORT_COMMANDS, "pop3-short-commands", "pop3", "commands have 40 octets at most")             \
	X(POP3_LOCK_KEPT, "pop3-lock-kept", "pop3", "a maildrop stays locked after QUIT")                    \
	X(POP3_DROPS_PIPELINED, "pop3-drops-pipelined", "pop3", "what comes behind a command is dropped")    \
	X(POP3_AUTH_TWICE, "pop3-auth-twice", "pop3", "AUTH after a login is answered +OK")                  \
	X(POP3_LANG_NO_STAR, "pop3-lang-no-star", "pop3", "there is no preferred language")                  \
	X(POP3_BINARY_STAYS, "pop3-binary-stays", "pop3", "binary content is kept and sent as it came")      \
	X(POP3_LF_ALONE, "pop3-lf-alone", "pop3", "responses end in LF alone")                               \
	X(POP3_LONG_RESPONSE, "pop3-long-response", "pop3", "errors are told in more than 512 octets")       \
	X(POP3_LIST_NO_DOT, "pop3-list-no-dot", "pop3", "LIST and UIDL end in an empty line")                \
	X(POP3_NO_RSET, "pop3-no-rset", "pop3", "RSET and NOOP are unknown")                                 \
	X(POP3_DELE_FORGETS, "pop3-dele-forgets", "pop3", "DELE marks nothing")                              \
	X(POP3_LOCK_STAYS, "pop3-lock-stays", "pop3", "a refused login leaves the maildrop locked")          \
	X(POP3_STAT_SAYS_MORE, "pop3-stat-says-more", "pop3", "a word follows the size in STAT")             \
	X(POP3_LIST_SAYS_MORE, "pop3-list-says-more", "pop3", "a word follows the size in LIST")             \
	X(POP3_UIDL_SAYS_MORE, "pop3-uidl-says-more", "pop3", "a word follows the unique-id")                \
	X(POP3_LONG_UID, "pop3-long-uid", "pop3", "unique-ids have more than 70 characters")                 \
	X(POP3_NO_ARGUMENT, "pop3-no-argument", "pop3", "arguments may be left out")                         \
	X(POP3_FETCHED_GOES, "pop3-fetched-goes", "pop3", "what was fetched is removed")                     \
	X(POP3_CAPA_LONG_LINE, "pop3-capa-long-line", "pop3", "a capability has more than 512 octets")       \
	X(POP3_CAPA_NO_DOT, "pop3-capa-no-dot", "pop3", "the capability list does not end")                  \
	X(POP3_CAPA_SAYS_APOP, "pop3-capa-says-apop", "pop3", "CAPA lists APOP")                             \
	X(POP3_CAPA_FORGETS, "pop3-capa-forgets", "pop3", "after a login CAPA lists less")                   \
	X(POP3_EXPIRE_SHRINKS, "pop3-expire-shrinks", "pop3",                                                \
	  "EXPIRE is less after a login, and still USER")                                                    \
	X(POP3_USER_REFUSED, "pop3-user-refused", "pop3", "USER is listed and refused, with the code AUTH")  \
	X(POP3_BROKEN_BRACKET, "pop3-broken-bracket", "pop3",                                                \
	  "a text begins with a bracket that is never closed")                                               \
	X(POP3_NO_AUTH_CODE, "pop3-no-auth-code", "pop3",                                                    \
	  "a wrong password is refused without the code AUTH")                                               \
	X(POP3_AUTH_CODE_UNLISTED, "pop3-auth-code-unlisted", "pop3", "AUTH-RESP-CODE is not listed")        \
	X(POP3_AUTH_CODE_ANYWHERE, "pop3-auth-code-anywhere", "pop3", "unknown commands have the code AUTH") \
	X(POP3_IN_USE_AS_AUTH, "pop3-in-use-as-auth", "pop3", "a locked maildrop has the code AUTH")         \
	X(POP3_SYS_WITH_OK, "pop3-sys-with-ok", "pop3", "NOOP succeeds with the code SYS")                   \
	X(POP3_NO_HANDSHAKE, "pop3-no-handshake", "pop3", "after STLS the session goes on in the clear")     \
	X(POP3_ALL_IN_CLEAR, "pop3-all-in-clear", "pop3", "every mechanism is offered without TLS")          \
	X(POP3_PLAIN_ONLY, "pop3-plain-only", "pop3", "every mechanism sends the password")                  \
	X(POP3_NO_INITIAL_RESPONSE, "pop3-no-initial-response", "pop3", "AUTH takes no initial response")    \
	X(POP3_LOGIN_WITH_NAME, "pop3-login-with-name", "pop3", "LOGIN takes an initial response")           \
	X(POP3_BARE_PLUS, "pop3-bare-plus", "pop3", "an empty challenge is a plus alone")                    \
	X(POP3_CHALLENGE_SAYS_MORE, "pop3-challenge-says-more", "pop3", "words follow a challenge")          \
	X(POP3_SHORT_RESPONSES, "pop3-short-responses", "pop3", "SASL responses have 255 octets at most")    \
	X(POP3_UNPREPARED, "pop3-unprepared", "pop3", "names and passwords are compared as they come")       \
	X(POP3_STRIPS_ODD, "pop3-strips-odd", "pop3", "odd octets of names and passwords are passed over")   \
	X(POP3_SCRAM_ANYBODY, "pop3-scram-anybody", "pop3", "every SCRAM proof is right")                    \
	X(POP3_SCRAM_GOES_ON, "pop3-scram-goes-on", "pop3", "SCRAM refuses by one challenge more")           \
	X(POP3_SCRAM_ODD_ESCAPES, "pop3-scram-odd-escapes", "pop3", "SCRAM takes any escape in a name")      \
	X(POP3_FEW_ITERATIONS, "pop3-few-iterations", "pop3", "SCRAM asks for 1000 iterations")              \
	X(POP3_PLUS_ONLY, "pop3-plus-only", "pop3", "SCRAM-SHA-256 is offered bound only")                   \
	X(POP3_UTF8_SEVEN_BITS, "pop3-utf8-seven-bits", "pop3",                                              \
	  "content loses its eighth bit in UTF-8 mode")                                                      \
	X(POP3_UTF8_UNASKED, "pop3-utf8-unasked", "pop3", "UTF-8 is sent without UTF8")                      \
	X(POP3_UTF8_PARAMETER, "pop3-utf8-parameter", "pop3", "UTF8 takes a parameter")                      \
	X(POP3_UTF8_NO_CODE, "pop3-utf8-no-code", "pop3",                                                    \
	  "a message that needs UTF8 is refused without its code")                                           \
	X(POP3_LANG_NO_LIST, "pop3-lang-no-list", "pop3", "LANG lists nothing")                              \
	X(POP3_LANG_NO_TAG, "pop3-lang-no-tag", "pop3", "LANG answers every language, without a tag")

#define MUTANT_NAME(name, text, suite, what) MUTANT_##name,
enum mutant { MUTANT_NONE, MUTANT_TABLE(MUTANT_NAME) MUTANT_RELAY_TABLE(MUTANT_NAME) MUTANT_COUNT };
#undef MUTANT_NAME

extern enum mutant mutant_now;
#define MUTANT(name) (mutant_now == MUTANT_##name)

/* False when there is none of that name. */
bool mutant_set(const char *text);
/* "smtp-keeps-leading-dot\tsmtp\ta stuffed period stays", from 1; NULL behind the last. */
const char *mutant_line(unsigned index);

#else
#define MUTANT(name) false
#endif

/* For mutants that change bytes: those of b from the nth on. */
static inline void mutant_small_letters(struct buf *b, size_t n)
{
	for (char *p = b->p + b->begin + n; p < b->p + b->end; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
}

static inline void mutant_seven_bits(struct buf *b, size_t n)
{
	for (char *p = b->p + b->begin + n; p < b->p + b->end; p++)
		*p = (char)(*p & 0x7F);
}

static inline void mutant_blanks_for_tabs(struct buf *b, size_t n)
{
	for (char *p = b->p + b->begin + n; p < b->p + b->end; p++)
		*p = *p == '\t' ? ' ' : *p;
}

/* Wherever the word stands in b, its nth character becomes c. */
static inline void mutant_one_letter(struct buf *b, const char *word, size_t n, char c)
{
	size_t bytes = strlen(word);

	for (char *p = b->p + b->begin; p + bytes <= b->p + b->end; p++)
		if (memcmp(p, word, bytes) == 0)
			p[n] = c;
}

#endif
