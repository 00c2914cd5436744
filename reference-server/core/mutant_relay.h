/*
 * mutant_relay: the part of the table of mutants (mutant.h) that is about the
 * way out: routing, what is said to next hops, retries and notifications.
 */
#ifndef SERVER_CORE_MUTANT_RELAY_H
#define SERVER_CORE_MUTANT_RELAY_H

#define MUTANT_RELAY_TABLE(X)                                                                                \
	X(RELAY_ANY_MX_FIRST, "relay-any-mx-first", "relay/rfc1035",                                         \
	  "MX records are tried in the order of the answer")                                                 \
	X(RELAY_MX_NOT_DRAWN, "relay-mx-not-drawn", "relay/rfc5321/5.1",                                     \
	  "hosts of equal preference are always tried in the order of the answer")                           \
	X(RELAY_NO_IMPLICIT_MX, "relay-no-implicit-mx", "relay/rfc5321/5.1",                                 \
	  "a domain without MX records has no mail")                                                         \
	X(RELAY_NULL_MX_TRIED, "relay-null-mx-tried", "relay/rfc7505", "a null MX counts as none")           \
	X(RELAY_SELF_IGNORED, "relay-self-ignored", "relay/rfc5321/5.1",                                     \
	  "MX records that name the relay itself are used like others")                                      \
	X(RELAY_ONE_ADDRESS, "relay-one-address", "relay/rfc5321/5.1",                                       \
	  "only one address of all hosts is tried")                                                          \
	X(RELAY_NXDOMAIN_WAITS, "relay-nxdomain-waits", "relay/rfc5321/5.1",                                 \
	  "mail for a name that does not exist waits")                                                       \
	X(RELAY_SERVFAIL_RETURNS, "relay-servfail-returns", "relay/rfc5321/5.1",                             \
	  "mail is returned when a lookup fails for now")                                                    \
	X(RELAY_5YZ_REPEATED, "relay-5yz-repeated", "relay/rfc5321/4.2.5",                                   \
	  "what was refused with 5yz is tried again")                                                        \
	X(RELAY_4YZ_RETURNS, "relay-4yz-returns", "relay/rfc5321/4.2.1",                                     \
	  "what was refused with 4yz is returned")                                                           \
	X(RELAY_KEEPS_EHLO, "relay-keeps-ehlo", "relay/rfc3207",                                             \
	  "what EHLO said before TLS is believed under TLS")                                                 \
	X(RELAY_NO_QUIT, "relay-no-quit", "relay/rfc5321/4.1.1.10", "connections end without QUIT")          \
	X(RELAY_NO_HELO, "relay-no-helo", "relay/rfc5321/2.2.1", "HELO is not tried where EHLO is unknown")  \
	X(RELAY_LOST_IS_SENT, "relay-lost-is-sent", "relay/rfc5321/3.8",                                     \
	  "a connection that ends instead of a reply counts as success")                                     \
	X(RELAY_LOST_RETURNS, "relay-lost-returns", "relay/rfc5321/3.8",                                     \
	  "a connection that ends returns the mail")                                                         \
	X(RELAY_DSN_UNASKED, "relay-dsn-unasked", "relay/rfc3461/5.2.2",                                     \
	  "DSN parameters are sent to everybody")                                                            \
	X(RELAY_NO_RET, "relay-no-ret", "relay/rfc3461/5.2.1", "RET is not passed on")                       \
	X(RELAY_NO_ENVID, "relay-no-envid", "relay/rfc3461/5.2.1", "ENVID is not passed on")                 \
	X(RELAY_NO_NOTIFY, "relay-no-notify", "relay/rfc3461/5.2.1", "NOTIFY is not passed on")              \
	X(RELAY_NO_ORCPT, "relay-no-orcpt", "relay/rfc3461/5.2.1", "ORCPT is not passed on")                 \
	X(RELAY_SIZE_UNASKED, "relay-size-unasked", "relay/rfc1870", "SIZE is sent to everybody")            \
	X(RELAY_SIZE_TOO_SMALL, "relay-size-too-small", "relay/rfc1870", "SIZE says half of what comes")     \
	X(RELAY_SIZE_TOO_LARGE, "relay-size-too-large", "relay/rfc1870", "SIZE says twice what comes")       \
	X(RELAY_8BIT_UNSAID, "relay-8bit-unsaid", "relay/rfc6152",                                           \
	  "8-bit content is sent without BODY=8BITMIME")                                                     \
	X(RELAY_8BIT_UNASKED, "relay-8bit-unasked", "relay/rfc6152", "8-bit content is sent to everybody")   \
	X(RELAY_LOWER_CASE, "relay-lower-case", "relay/rfc5321/2.4", "local-parts are sent in lower case")   \
	X(RELAY_TOO_MANY_RETURNS, "relay-too-many-returns", "relay/rfc5321/4.5.3.1.10",                      \
	  "552 to RCPT for too many is a refusal for good")                                                  \
	X(RELAY_ONE_FAILS_ALL, "relay-one-fails-all", "relay/rfc2920",                                       \
	  "a refused recipient takes the first one along")                                                   \
	X(RELAY_CONTENT_ANYWAY, "relay-content-anyway", "relay/rfc5321/3.3",                                 \
	  "content is sent whatever DATA was answered")                                                      \
	X(RELAY_NO_RSET, "relay-no-rset", "relay/rfc3030", "no RSET follows a refused BDAT")                 \
	X(RELAY_RCPTMAX_IGNORED, "relay-rcptmax-ignored", "relay/rfc9422", "RCPTMAX is not looked at")       \
	X(RELAY_MAILMAX_IGNORED, "relay-mailmax-ignored", "relay/rfc9422", "MAILMAX is not looked at")       \
	X(RELAY_BAD_LIMITS_READ, "relay-bad-limits-read", "relay/rfc9422",                                   \
	  "what a malformed LIMITS parameter seems to say is followed")                                      \
	X(RELAY_NO_RSET_WHEN_FULL, "relay-no-rset-when-full", "relay/rfc1870",                               \
	  "no RSET follows a MAIL that was refused for lack of room")                                        \
	X(RELAY_PIPELINES_UNASKED, "relay-pipelines-unasked", "relay/rfc5321/4.3.1",                         \
	  "commands are sent in groups to everybody")                                                        \
	X(RELAY_BDAT_UNASKED, "relay-bdat-unasked", "relay/rfc3030", "BDAT is sent to everybody")            \
	X(RELAY_NO_STUFFING, "relay-no-stuffing", "relay/rfc5321/4.5.2",                                     \
	  "periods are not doubled on the way out")                                                          \
	X(RELAY_EXTRA_CRLF, "relay-extra-crlf", "relay/rfc5321/4.1.1.4",                                     \
	  "an empty line is added in front of the final dot")                                                \
	X(RELAY_NEVER_IGNORED, "relay-never-ignored", "relay/rfc3461/5.2.2", "NOTIFY=NEVER changes nothing") \
	X(RELAY_BY_STANDS_STILL, "relay-by-stands-still", "relay/rfc2852",                                   \
	  "the time of BY does not become less while a message waits")                                       \
	X(RELAY_BY_ADDS_NO_DELAY, "relay-by-adds-no-delay", "relay/rfc2852",                                 \
	  "DELAY is not asked for of a host without DELIVERBY")                                              \
	X(RELAY_BINARY_UNSAID, "relay-binary-unsaid", "relay/rfc3030",                                       \
	  "binary content is sent without BODY=BINARYMIME")                                                  \
	X(RELAY_BINARY_UNASKED, "relay-binary-unasked", "relay/rfc3030",                                     \
	  "binary content is sent to everybody")                                                             \
	X(RELAY_ENCODED_MULTIPART, "relay-encoded-multipart", "relay/rfc3030",                               \
	  "a multipart that was converted says base64")                                                      \
	X(RELAY_CONVERSION_LOSES, "relay-conversion-loses", "relay/rfc6152",                                 \
	  "an equals sign is not encoded in quoted-printable")                                               \
	X(RELAY_XTEXT_IN_LOWER_CASE, "relay-xtext-in-lower-case", "relay/rfc3461",                           \
	  "ENVID is sent in lower case")                                                                     \
	X(RELAY_XTEXT_DECODED, "relay-xtext-decoded", "relay/rfc3461/4",                                     \
	  "what is xtext in ENVID and ORCPT is decoded")                                                     \
	X(RELAY_EMPTY_VALUES, "relay-empty-values", "relay/rfc3461", "DSN parameters have no value")         \
	X(RELAY_SMTPUTF8_ALWAYS, "relay-smtputf8-always", "relay/rfc6531", "SMTPUTF8 is said of all mail")   \
	X(RELAY_BARE_KEYWORDS, "relay-bare-keywords", "relay/rfc6531",                                       \
	  "extensions whose keyword has parameters are not used")                                            \
	X(RELAY_DATA_FOR_RSET, "relay-data-for-rset", "relay/rfc3030", "DATA is said where RSET should be")  \
	X(RELAY_IDENTITY_NO_MAILBOX, "relay-identity-no-mailbox", "relay/rfc4954",                           \
	  "AUTH= has a name that is no mailbox")                                                             \
	X(RELAY_U_LABELS_ANYWAY, "relay-u-labels-anyway", "relay/rfc6531",                                   \
	  "domains stay U-labels for hosts without SMTPUTF8")                                                \
	X(RELAY_NO_IDNA, "relay-no-idna", "relay/rfc6531", "U-labels are looked up as they are")             \
	X(RELAY_ORCPT_NATIVE, "relay-orcpt-native", "relay/rfc6533", "ORCPT is sent in UTF-8 to everybody")  \
	X(RELAY_FIELD_WAIVES_REQUIRETLS, "relay-field-waives-requiretls", "relay/rfc8689",                   \
	  "TLS-Required: No outweighs REQUIRETLS")                                                           \
	X(RELAY_BARE_LINE_ENDS, "relay-bare-line-ends", "relay/rfc5321/2.3.8",                               \
	  "CR and LF that stand alone are taken and sent on")                                                \
	X(RELAY_MENDS_LINE_ENDS_LATE, "relay-mends-line-ends-late", "relay/rfc5321/2.3.8",                   \
	  "CR and LF that stand alone become line ends when periods are doubled already")                    \
	X(RELAY_NULS_LOST, "relay-nuls-lost", "relay/rfc5321/2.3.8",                                         \
	  "NUL is left out when periods are doubled already")                                                \
	X(RELAY_NUL_BEHIND_DOT, "relay-nul-behind-dot", "relay/rfc5321/2.3.8",                               \
	  "CRLF . NUL CRLF ends the content")                                                                \
	X(RELAY_CONTROLS_LOST, "relay-controls-lost", "relay/rfc5321/4.5.2",                                 \
	  "control characters become question marks")                                                        \
	X(RELAY_ADDS_A_LINE, "relay-adds-a-line", "relay/rfc5321/3.6.3", "a line is added to the content")   \
	X(RELAY_BLANKS_FOR_TABS, "relay-blanks-for-tabs", "relay/rfc5321/3.6.3", "tabs become blanks")       \
	X(RELAY_CLEARS_HIGH_BITS, "relay-clears-high-bits", "relay/rfc5321/3.6.3",                           \
	  "the high bit of each byte is cleared")                                                            \
	X(RELAY_NO_BOUNCE, "relay-no-bounce", "relay/rfc5321/4.2.5", "nobody is told of failures")           \
	X(RELAY_SENDS_TWICE, "relay-sends-twice", "relay/rfc5321/4.5.4.1", "what was sent is sent again")    \
	X(RELAY_NO_RELAYED_DSN, "relay-no-relayed-dsn", "relay/rfc3461/5.2.2",                               \
	  "nobody is told that mail went to a host without DSN")                                             \
	X(RELAY_NO_DELAY_DSN, "relay-no-delay-dsn", "relay/rfc2852", "nobody is told of a delay")            \
	X(RELAY_NEVER_EXPIRES, "relay-never-expires", "relay/rfc5321/4.5.4.1", "mail is tried for ever")     \
	X(RELAY_DRIPS_AWAITED, "relay-drips-awaited", "relay/rfc5321/4.5.3.2",                               \
	  "a reply that goes on and on is awaited for ever")                                                 \
	X(RELAY_NO_IPV6, "relay-no-ipv6", "relay/rfc5321/5.2", "AAAA records are not asked for")             \
	X(RELAY_HALF_A_LOOKUP_WAITS, "relay-half-a-lookup-waits", "relay/rfc5321/5.2",                       \
	  "a host is passed over when one of its two lookups fails")                                         \
	X(RELAY_SELF_BY_NAME, "relay-self-by-name", "relay/rfc5321/5.1",                                     \
	  "the relay's own address among MX hosts is used like others")                                      \
	X(RELAY_LITERALS_RETURNED, "relay-literals-returned", "relay/rfc5321/4.1.3",                         \
	  "mail for address literals is returned")                                                           \
	X(RELAY_ROUTE_KEPT, "relay-route-kept", "relay/rfc5321/5.1",                                         \
	  "names are looked up once and never again")                                                        \
	X(RELAY_ONE_AT_A_TIME, "relay-one-at-a-time", "relay/rfc5321/4.5.4.1",                               \
	  "one connection for all destinations")                                                             \
	X(RELAY_DOWN_FORGOTTEN, "relay-down-forgotten", "relay/rfc5321/4.5.4.1",                             \
	  "a host that is down is tried at once for each message")                                           \
	X(RELAY_QUEUE_FORGOTTEN, "relay-queue-forgotten", "restarts",                                        \
	  "what waits is not looked for at the start")                                                       \
	X(RELAY_FLOOD_TRUSTED, "relay-flood-trusted", "relay/rfc5321/4.5.3.2",                               \
	  "a reply of too many lines counts as whole")                                                       \
	X(RELAY_FIRST_LINE_ENDS, "relay-first-line-ends", "relay/rfc5321/4.2.1",                             \
	  "the first line of a good reply counts as all of it")                                              \
	X(RELAY_RETRIES_AT_ONCE, "relay-retries-at-once", "relay/rfc5321/4.5.4.1",                           \
	  "failed attempts are repeated at once")                                                            \
	X(RELAY_DSN_FROM_SOMEBODY, "relay-dsn-from-somebody", "relay/rfc5321/3.6.3",                         \
	  "notifications have a reverse-path")                                                               \
	X(RELAY_DSN_NO_DIAGNOSTIC, "relay-dsn-no-diagnostic", "relay/rfc3461/6.3",                           \
	  "notifications do not say what the next hop said")                                                 \
	X(RELAY_DSN_VAGUE_STATUS, "relay-dsn-vague-status", "relay/rfc3463/2",                               \
	  "notifications have no detail in their status")                                                    \
	X(RELAY_DSN_ALWAYS_FAILED, "relay-dsn-always-failed", "relay/rfc3461/5.2.2",                         \
	  "notifications of all kinds say failed")                                                           \
	X(RELAY_DSN_NO_ENVID, "relay-dsn-no-envid", "relay/rfc3461/6.3", "notifications leave ENVID out")    \
	X(RELAY_DSN_NO_ORCPT, "relay-dsn-no-orcpt", "relay/rfc3461/6.3", "notifications leave ORCPT out")    \
	X(RELAY_SHORT_NAME, "relay-short-name", "relay/rfc5321/2.3.5",                                       \
	  "EHLO has the first label of the name only")                                                       \
	X(RELAY_NAME_AND_MORE, "relay-name-and-more", "relay/rfc5321/4.1.1.1",                               \
	  "something stands behind the name in EHLO")                                                        \
	X(RELAY_EHLO_ENDS_IN_LF, "relay-ehlo-ends-in-lf", "relay/rfc5321/2.3.8", "EHLO ends in LF alone")    \
	X(RELAY_NAME_NOT_ASCII, "relay-name-not-ascii", "relay/rfc6531", "the name in EHLO is not ASCII")    \
	X(RELAY_HELO_FIRST, "relay-helo-first", "relay/rfc5321/2.2.1", "HELO is said and EHLO is not")       \
	X(RELAY_NO_HELLO, "relay-no-hello", "relay/rfc5321/4.1.1.1", "neither EHLO nor HELO is said")        \
	X(RELAY_TALKS_FIRST, "relay-talks-first", "relay/rfc5321/4.3.1",                                     \
	  "EHLO is said before the greeting has come")                                                       \
	X(RELAY_RSET_FIRST, "relay-rset-first", "relay/rfc5321/4.1.4", "RSET is said before EHLO")           \
	X(RELAY_STARTTLS_GROUPED, "relay-starttls-grouped", "relay/rfc3207",                                 \
	  "something is said behind STARTTLS")                                                               \
	X(RELAY_TALKS_BEFORE_TLS, "relay-talks-before-tls", "relay/rfc3207",                                 \
	  "something is said between 220 and the handshake")                                                 \
	X(RELAY_NO_SECOND_EHLO, "relay-no-second-ehlo", "relay/rfc3207", "no EHLO comes under TLS")          \
	X(RELAY_REQUIRETLS_IGNORED, "relay-requiretls-ignored", "relay/rfc8689",                             \
	  "messages that require TLS go like others")                                                        \
	X(RELAY_OBSOLETE_VERB, "relay-obsolete-verb", "relay/rfc5321/F.6", "transactions begin with SAML")   \
	X(RELAY_BLANK_BEHIND_COLON, "relay-blank-behind-colon", "relay/rfc5321/3.3",                         \
	  "a blank stands behind the colon of MAIL")                                                         \
	X(RELAY_MAKES_ROUTES, "relay-makes-routes", "relay/rfc5321/3.3", "paths have source routes")         \
	X(RELAY_NULL_REPLACED, "relay-null-replaced", "relay/rfc5321/4.5.5",                                 \
	  "null reverse-paths are replaced")                                                                 \
	X(RELAY_SENDER_LEFT_OUT, "relay-sender-left-out", "relay/rfc5321/4.5.5",                             \
	  "all reverse-paths are null")                                                                      \
	X(RELAY_LOWER_CASE_SENDER, "relay-lower-case-sender", "relay/rfc5321/2.4",                           \
	  "reverse-paths are sent in lower case")                                                            \
	X(RELAY_SENDER_IS_CLIENT, "relay-sender-is-client", "relay/rfc4954",                                 \
	  "the relay says that all mail is its own")                                                         \
	X(RELAY_SIZE_UNUSED, "relay-size-unused", "relay/rfc5321/4.5.3.1.7", "SIZE is never sent")           \
	X(RELAY_NUMBER_FORM, "relay-number-form", "relay/rfc5321/F.4",                                       \
	  "address literals begin with a number sign")                                                       \
	X(RELAY_PATH_NOT_ASCII, "relay-path-not-ascii", "relay/rfc5321/4.1.2",                               \
	  "forward-paths are not ASCII")                                                                     \
	X(RELAY_NEVER_WITH_OTHERS, "relay-never-with-others", "relay/rfc3461/4.1",                           \
	  "NEVER does not stand alone")                                                                      \
	X(RELAY_PARAMETERS_TWICE, "relay-parameters-twice", "relay/rfc1870", "parameters come twice")        \
	X(RELAY_DSN_MADE_UP, "relay-dsn-made-up", "relay/rfc3461/5.2.1", "DSN parameters are made up")       \
	X(RELAY_SMTPUTF8_UNSAID, "relay-smtputf8-unsaid", "relay/rfc6531", "SMTPUTF8 is never said")         \
	X(RELAY_SMTPUTF8_NEEDLESS, "relay-smtputf8-needless", "relay/rfc6531", "SMTPUTF8 is said always")    \
	X(RELAY_TEXT_DECIDES, "relay-text-decides", "relay/rfc5321/4.2",                                     \
	  "a text that begins with a code counts as one")                                                    \
	X(RELAY_BARE_CODES_REFUSE, "relay-bare-codes-refuse", "relay/rfc5321/4.2",                           \
	  "codes without text are refusals")                                                                 \
	X(RELAY_LONG_REPLIES_REFUSE, "relay-long-replies-refuse", "relay/rfc5321/4.2",                       \
	  "long replies are refusals")                                                                       \
	X(RELAY_LINES_REFUSE, "relay-lines-refuse", "relay/rfc2920",                                         \
	  "replies of several lines are refusals")                                                           \
	X(RELAY_UNKNOWN_CODES_TURNED, "relay-unknown-codes-turned", "relay/rfc5321/4.2",                     \
	  "the first digit of unknown codes does not count")                                                 \
	X(RELAY_NONSENSE_IS_SENT, "relay-nonsense-is-sent", "relay/rfc5321/4.2",                             \
	  "what is no reply counts as success")                                                              \
	X(RELAY_LAST_REPLY_COUNTS, "relay-last-reply-counts", "relay/rfc5321/4.2",                           \
	  "of replies that come together the last one counts")                                               \
	X(RELAY_PIECES_REFUSE, "relay-pieces-refuse", "relay/rfc5321/4.2",                                   \
	  "replies that come in pieces are refusals")                                                        \
	X(RELAY_ONE_RECIPIENT_EACH, "relay-one-recipient-each", "relay/rfc5321/4.5.4.1",                     \
	  "each recipient gets a copy of his own")                                                           \
	X(RELAY_PLUS_LOST, "relay-plus-lost", "relay/rfc5321/2.3.11", "plus signs become hyphens")           \
	X(RELAY_QUOTES_ALL, "relay-quotes-all", "relay/rfc5321/4.1.2",                                       \
	  "local-parts are quoted without need")                                                             \
	X(RELAY_UNQUOTES, "relay-unquotes", "relay/rfc5321/2.3.11", "quotes are left out")                   \
	X(RELAY_DATA_WITH_PARAMETER, "relay-data-with-parameter", "relay/rfc5321/4.1.1",                     \
	  "DATA has a parameter")                                                                            \
	X(RELAY_DATA_REPEATED, "relay-data-repeated", "relay/rfc5321/4.2.1",                                 \
	  "DATA is repeated when it was refused for now")                                                    \
	X(RELAY_BDAT_IN_HEX, "relay-bdat-in-hex", "relay/rfc3030", "lengths in BDAT are hexadecimal")        \
	X(RELAY_BDAT_STUFFED, "relay-bdat-stuffed", "relay/rfc3030", "periods are doubled in chunks, too")   \
	X(RELAY_BDAT_EXTRA_CRLF, "relay-bdat-extra-crlf", "relay/rfc5321/4.1.1.4",                           \
	  "an empty line is added to chunks")                                                                \
	X(RELAY_TELLS_RECIPIENTS, "relay-tells-recipients", "relay/rfc5321/7.2",                             \
	  "the header names all recipients")                                                                 \
	X(RELAY_ADDS_RETURN_PATH, "relay-adds-return-path", "relay/rfc5321/4.4", "a Return-Path is added")   \
	X(RELAY_RECEIVED_TWICE, "relay-received-twice", "relay/rfc5321/4.4",                                 \
	  "two Received fields are added")                                                                   \
	X(RELAY_QUIT_UNAWAITED, "relay-quit-unawaited", "relay/rfc5321/4.1.1.10",                            \
	  "connections end before QUIT is answered")                                                         \
	X(RELAY_BY_LEAST_IGNORED, "relay-by-least-ignored", "relay/rfc2852",                                 \
	  "the least time of a next hop is not looked at")                                                   \
	X(RELAY_MX_BY_TEXT, "relay-mx-by-text", "relay/rfc1035", "preferences are compared as texts")        \
	X(RELAY_SELF_DROPS_ALL, "relay-self-drops-all", "relay/rfc5321/5.1",                                 \
	  "who finds itself among the MX uses none of them")                                                 \
	X(RELAY_SELF_KEEPS_EQUALS, "relay-self-keeps-equals", "relay/rfc5321/5.1",                           \
	  "hosts of the own preference are used")                                                            \
	X(RELAY_HOST_SERVFAIL_RETURNS, "relay-host-servfail-returns", "relay/rfc5321/5.1",                   \
	  "mail is returned when the lookup of a host fails for now")                                        \
	X(RELAY_NO_ADDRESS_ENDS, "relay-no-address-ends", "relay/rfc5321/5.1",                               \
	  "no host behind one without an address is tried")                                                  \
	X(RELAY_NO_ALIASES, "relay-no-aliases", "relay/rfc5321/5.1", "domains that are aliases are unknown") \
	X(RELAY_SUCCESS_IS_FAILURE, "relay-success-is-failure", "relay/rfc3461",                             \
	  "who wants to hear of success hears of failure")                                                   \
	X(RELAY_ONE_TIME_OUT, "relay-one-time-out", "relay/rfc5321/4.5.3.2",                                 \
	  "all commands together have the time of one")                                                      \
	X(RELAY_ANY_CERTIFICATE, "relay-any-certificate", "relay/rfc3207/6",                                 \
	  "where a certificate must be right, any will do")                                                  \
	X(RELAY_REQUIRE_IS_MAY, "relay-require-is-may", "relay/rfc3207/6",                                   \
	  "where TLS is required, clear text will do when it is not offered")                                \
	X(RELAY_CLEAR_AFTER_FAILURE, "relay-clear-after-failure", "relay/rfc3207/6",                         \
	  "a handshake that fails is followed by clear text, whatever is required")                          \
	X(RELAY_NEVER_TLS, "relay-never-tls", "relay/rfc3207/6", "TLS that is offered is not used")          \
	X(RELAY_TLS_FAILURE_RETURNS, "relay-tls-failure-returns", "relay/rfc3207/6",                         \
	  "a handshake that fails returns the mail")                                                         \
	X(RELAY_STARTTLS_REFUSAL_RETURNS, "relay-starttls-refusal-returns", "relay/rfc3207/6",               \
	  "STARTTLS that is refused returns the mail")                                                       \
	X(RELAY_STARTTLS_AGAIN, "relay-starttls-again", "relay/rfc3207/4.2",                                 \
	  "STARTTLS is said again under TLS where it is listed")                                             \
	X(RELAY_DANE_ANY_CERTIFICATE, "relay-dane-any-certificate", "relay/rfc7672/3.2",                     \
	  "certificates need not match TLSA records")                                                        \
	X(RELAY_DANE_CHAIN_COUNTS, "relay-dane-chain-counts", "relay/rfc7672/3.1.1",                         \
	  "certificates must be right whatever TLSA records say")                                            \
	X(RELAY_DANE_NO_CNAME, "relay-dane-no-cname", "relay/rfc7672/2.1.3",                                 \
	  "TLSA records behind an alias are not seen")                                                       \
	X(RELAY_DANE_FIRST_RECORD, "relay-dane-first-record", "relay/rfc7672/2.2",                           \
	  "of several TLSA records the first one counts")                                                    \
	X(RELAY_DANE_SELECTORS_SWAPPED, "relay-dane-selectors-swapped", "relay/rfc7672/2.2",                 \
	  "TLSA records of keys are compared with certificates")                                             \
	X(RELAY_DANE_DOMAIN_ONLY, "relay-dane-domain-only", "relay/rfc7672/3.2.2",                           \
	  "with DANE-TA the name of the domain alone matches")                                               \
	X(RELAY_DANE_UNUSABLE_WANTS_CHAIN, "relay-dane-unusable-wants-chain", "relay/rfc7672/2.2",           \
	  "where TLSA records cannot be used the certificate must be right")                                 \
	X(RELAY_DANE_NONE_WANTS_TLS, "relay-dane-none-wants-tls", "relay/rfc7672/2.2",                       \
	  "in signed zones there is no mail without TLS")                                                    \
	X(RELAY_DANE_NO_SHA512, "relay-dane-no-sha512", "relay/rfc7672/5",                                   \
	  "TLSA records with SHA-512 are not known")                                                         \
	X(RELAY_ALL_IS_SECURE, "relay-all-is-secure", "relay/rfc7672/2.1.1",                                 \
	  "unsigned zones count as signed")                                                                  \
	X(RELAY_BOGUS_IS_INSECURE, "relay-bogus-is-insecure", "relay/rfc7672/2.1.2",                         \
	  "wrong signatures count as none")                                                                  \
	X(RELAY_DANE_ASKS_FOR_HOST, "relay-dane-asks-for-host", "relay/rfc7672/2.2.3",                       \
	  "SNI is the host that was named, wherever its TLSA records are")                                   \
	X(RELAY_DANE_HOST_ONLY, "relay-dane-host-only", "relay/rfc7672/3.2.2",                               \
	  "with DANE-TA the host's name alone matches")                                                      \
	X(RELAY_DANE_NO_ALIAS, "relay-dane-no-alias", "relay/rfc7672/3.2.2",                                 \
	  "with DANE-TA the name behind a domain's alias does not match")                                    \
	X(RELAY_DANE_CLEAR_WILL_DO, "relay-dane-clear-will-do", "relay/rfc7672/2.2.3",                       \
	  "a host with TLSA records needs no TLS")                                                           \
	X(RELAY_DANE_UNUSABLE_IS_NONE, "relay-dane-unusable-is-none", "relay/rfc7672/2.2",                   \
	  "TLSA records that cannot be used count as none")                                                  \
	X(RELAY_DANE_FAILURE_IS_NONE, "relay-dane-failure-is-none", "relay/rfc7672/2.1.2",                   \
	  "TLSA records that cannot be looked up count as none")                                             \
	X(RELAY_DANE_UNSIGNED_COUNTS, "relay-dane-unsigned-counts", "relay/rfc7672/2.1.1",                   \
	  "TLSA records of unsigned zones count")                                                            \
	X(RELAY_DANE_PORT_24, "relay-dane-port-24", "relay/rfc7672/2.2.3",                                   \
	  "TLSA records of another port are asked for")                                                      \
	X(RELAY_DANE_ASKS_ANYWHERE, "relay-dane-asks-anywhere", "relay/rfc7672/2.2.2",                       \
	  "TLSA records are asked for in unsigned zones, too")                                               \
	X(RELAY_DANE_EXPANDED_ONLY, "relay-dane-expanded-only", "relay/rfc7672/2.2.3",                       \
	  "of an alias only the name behind it is asked for TLSA records")                                   \
	X(RELAY_DANE_UNEXPANDED_ONLY, "relay-dane-unexpanded-only", "relay/rfc7672/2.2.3",                   \
	  "of an alias only the name itself is asked for TLSA records")                                      \
	X(RELAY_REQUIRETLS_UNOFFERED, "relay-requiretls-unoffered", "relay/rfc8689",                         \
	  "REQUIRETLS is sent to everybody who has TLS")                                                     \
	X(RELAY_REQUIRETLS_VAGUE, "relay-requiretls-vague", "relay/rfc8689/4.2.1",                           \
	  "why REQUIRETLS was not kept is told without a status code")                                       \
	X(RELAY_REQUIRETLS_LOST, "relay-requiretls-lost", "relay/rfc8689/4.2.1",                             \
	  "REQUIRETLS is not passed on")                                                                     \
	X(RELAY_REQUIRETLS_ANY_MX, "relay-requiretls-any-mx", "relay/rfc8689/4.2.1",                         \
	  "for REQUIRETLS nothing needs to prove the MX record")                                             \
	X(RELAY_TLS_OPTIONAL_UNHEARD, "relay-tls-optional-unheard", "relay/rfc8689/3",                       \
	  "TLS-Required: No changes nothing")                                                                \
	X(RELAY_TLS_OPTIONAL_IS_NONE, "relay-tls-optional-is-none", "relay/rfc8689/3",                       \
	  "with TLS-Required: No there is no TLS")                                                           \
	X(RELAY_ALIAS_UNTAGGED, "relay-alias-untagged", "relay/rfc8689/4.1",                                 \
	  "behind an alias REQUIRETLS and TLS-Required are forgotten")                                       \
	X(RELAY_ALIAS_UNWISHED, "relay-alias-unwished", "relay/rfc3461/5.2.7.2",                             \
	  "behind an alias NOTIFY and ORCPT are forgotten")                                                  \
	X(RELAY_ALIAS_REPORTS, "relay-alias-reports", "relay/rfc3461/5.2.7.2",                               \
	  "an alias of one reports expansion, too")                                                          \
	X(RELAY_ALIAS_UNREPORTED, "relay-alias-unreported", "relay/rfc3464/3",                               \
	  "an alias of several asks each of them for reports, and reports nothing itself")                   \
	X(RELAY_ALIAS_ASKS_ON, "relay-alias-asks-on", "relay/rfc3464/3",                                     \
	  "an alias of several reports that it was expanded, and asks each of them for reports, too")        \
	X(RELAY_LMTP_LOSS_FORGETS, "relay-lmtp-loss-forgets", "relay/rfc2033",                               \
	  "the last reply of LMTP, or its loss, counts for all recipients")                                  \
	X(RELAY_LMTP_LOSS_IS_SENT, "relay-lmtp-loss-is-sent", "relay/rfc2033",                               \
	  "whose reply of LMTP is lost behind another counts as delivered")                                  \
	X(RELAY_LMTP_EHLO, "relay-lmtp-ehlo", "relay/rfc2033", "EHLO is said to a host that speaks LMTP")

#endif
