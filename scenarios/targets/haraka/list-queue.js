'use strict';
// What waits, as postriderd lists it.  A file of Haraka's queue begins with the
// length of what it knows of the message, 4 bytes, and that as JSON.

const fs = require('fs');
const path = require('path');

const folder = process.argv[2];

function read(name) {
	try {
		return fs.readFileSync(path.join(folder, name));
	} catch (error) {
		if (error.code === 'ENOENT')
			return null; // gone since the folder was read
		throw error;
	}
}

function address(of) {
	return of.user ? of.user + '@' + of.host : '';
}

for (const name of fs.readdirSync(folder)) {
	const bytes = name.startsWith('.') ? null : read(name); // with a dot: not yet acknowledged
	if (bytes === null)
		continue;
	const known = JSON.parse(bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString());
	console.log(JSON.stringify({
		sender: address(known.mail_from),
		recipients: known.rcpt_to.map(to => ({ address: address(to) })),
	}));
}
