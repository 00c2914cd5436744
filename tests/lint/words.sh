#!/bin/sh
# words.sh: base/ knows no mail.  Both the server and its judge use base/; a
# shared reading of the protocol there would be wrong in both and seen by neither.
set -eu
status=0
grep -rniEw --include='*.[ch]' \
	'e?smtps?|lmtp|imap4?|pop3s?|ehlo|helo|rcpt|mailbox|mime|base64|crlf|bounce|rfc ?(821|822|1939|2045|2821|2822|3464|3501|5321|5322|9051)' base || status=$?
if [ "$status" -ne 1 ]; then
	echo 'base/ names a mail protocol'
	exit 1
fi
