'use strict';
// Which recipients are taken, and where the queue sends their mail.

const constants = require('haraka-constants');

exports.register = function () {
	this.cfg = this.config.get('mailboxes.json');
	this.outbound = this.haraka_require('outbound');
};

exports.hook_connect = function (next, connection) {
	if (connection.remote.ip === this.cfg.relay_from && connection.local.port === parseInt(this.cfg.smtp_port, 10))
		connection.relaying = true;
	next();
};

exports.hook_rcpt = function (next, connection, params) {
	const to = params[0];
	if (!to.host) // <Postmaster>: RFC 5321 2.3.5
		to.host = to.original_host = this.cfg.domains[0];
	if (to.host === this.cfg.literal) // this server: RFC 1123 5.2.17
		to.host = to.original_host = this.cfg.domains[0];
	if (this.cfg.domains.includes(to.host.toLowerCase())) {
		// "sales" and sales are one mailbox: RFC 5321 4.1.2
		const user = to.user.startsWith('"') ? to.user.slice(1, -1).replace(/\\(.)/g, '$1') : to.user;
		return this.cfg.mailboxes.includes((user + '@' + to.host).toLowerCase())
			? next(constants.OK) : next(constants.DENY, 'no such mailbox');
	}
	return connection.relaying ? next(constants.OK) : next(constants.DENY, 'relaying denied');
};

exports.hook_queue = function (next, connection) {
	this.outbound.send_trans_email(connection.transaction, next);
};

exports.hook_get_mx = function (next, hmail, domain) {
	if (this.cfg.domains.includes(domain.toLowerCase()))
		return next(constants.OK, { using_lmtp: true, priority: 0, exchange: '127.0.0.1', port: 24, path: this.cfg.lmtp });
	if (this.cfg.smart_host)
		return next(constants.OK, { priority: 0, exchange: this.cfg.smart_host, port: parseInt(this.cfg.smart_host_port, 10) });
	next();
};
