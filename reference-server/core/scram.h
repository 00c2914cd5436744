/*
 * scram: what GNU SASL lets pass of a client's first SCRAM message and RFC 5802
 * does not.  Pure; the exchange itself is drive/auth.c's.
 */
#ifndef SERVER_CORE_SCRAM_H
#define SERVER_CORE_SCRAM_H

#include "base/span.h"

#include <stdbool.h>

/*
 * client-first-message, decoded.  False when "=" in a name is followed by
 * neither "2C" nor "3D" (RFC 5802 5.1): such a message fails.  What else may be
 * wrong with it is not looked at.
 */
bool scram_names_are_escaped(struct span first_message);

#endif
