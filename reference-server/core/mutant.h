/*
 * mutant: one behaviour broken on purpose, to show that a conformance case
 * notices (make mutants).
 *
 * In a normal build MUTANT(NAME) is false and nothing of this is there.  With
 * MUTANTS=1 the server takes --mutant NAME and breaks that one thing: one line
 * in the code each.  The table says which, and which cases must fail then.
 */
#ifndef SERVER_CORE_MUTANT_H
#define SERVER_CORE_MUTANT_H

#include <stdbool.h>

#ifdef MUTANTS

/* name in the code, name on the command line, suite that kills it, what is broken */
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
	X(POP3_VERBS_IN_CAPITALS, "pop3-verbs-in-capitals", "pop3", "keywords in lower case are unknown")

#define MUTANT_NAME(name, text, suite, what) MUTANT_##name,
enum mutant { MUTANT_NONE, MUTANT_TABLE(MUTANT_NAME) MUTANT_COUNT };
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

#endif
