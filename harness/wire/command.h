/*
 * command: takes SMTP command lines apart, leniently, for observers and
 * scripted servers: what a client meant, not whether it may say so.
 */
#ifndef HARNESS_WIRE_COMMAND_H
#define HARNESS_WIRE_COMMAND_H

#include "base/span.h"

/* Cuts the word before the first blank from the front, and the blanks behind it. */
struct span command_word(struct span *line);

/*
 * Cuts "FROM:<path>" or "TO:<path>" from the front of a MAIL or RCPT command's
 * arguments and returns the path without <>.  A quoted local-part may hold
 * ">"; without <> the path is a word.  What is left are the parameters.
 */
struct span command_path(struct span *args);

#endif
