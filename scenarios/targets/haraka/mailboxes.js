'use strict';
// Which recipients are taken, and where the queue sends their mail.

const constants = require('haraka-constants');

exports.register = function () {
	this.cfg = this.config.get('mailboxes.json');
	this.outbound = this.haraka_require('outbound');
	this.tls = this.haraka_require('outbound/tls');
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
	const login = /\.login-(verify|long)\.next\.example$/i.exec(domain);
	if (login) { // by name and password, which only a host with a good certificate may have
		this.tls.cfg.force_tls_hosts = [...(this.tls.cfg.force_tls_hosts ?? []), domain];
		return next(constants.OK, {
			priority: 0, exchange: domain, port: 25, auth_user: this.cfg.login_name,
			auth_pass: login[1].toLowerCase() === 'long' ? this.cfg.login_long_password : this.cfg.login_password,
		});
	}
	if (domain.toLowerCase().endsWith('.lmtp.next.example'))
		return next(constants.OK, { using_lmtp: true, priority: 0, exchange: domain, port: this.cfg.lmtp_port });
	if (this.cfg.smart_host)
		return next(constants.OK, { priority: 0, exchange: this.cfg.smart_host, port: parseInt(this.cfg.smart_host_port, 10) });
	next();
};
