"""Certificate authorities of a test, made by openssl's own tools."""

import base64
import hashlib
import os
import secrets
import ssl
import subprocess

import lib


def openssl(*arguments, stdin=None):
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=False)
    lib.check(done.returncode == 0, f"openssl {arguments}: {done.stderr.decode()}")
    return done.stdout


class Ca:
    """A CA of its own; `path` is its certificate, for tls_ca."""

    def __init__(self, name="Test CA"):
        self.stem = os.path.join(lib.scratch(), "ca-" + secrets.token_hex(4))
        self.path, self.key = self.stem + ".pem", self.stem + ".key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.path)

    def der(self):
        return openssl("x509", "-in", self.path, "-outform", "DER")

    def certificate(self, names, days=3):
        """A key and a certificate with its chain; days below zero: expired."""
        stem = f"{self.stem}-{secrets.token_hex(4)}"
        made = Certificate(stem)
        extensions = stem + ".ext"
        with open(extensions, "w") as file:
            file.write("subjectAltName=" + ",".join("DNS:" + name for name in names) + "\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={names[0]}",
                "-keyout", made.key, "-out", stem + ".csr")
        openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.path, "-CAkey", self.key, "-CAcreateserial", "-days", str(days),
                "-extfile", extensions, "-out", made.path)
        with open(made.path, "a") as file, open(self.path) as own:
            file.write(own.read())
        return made

    def context(self, *names, days=3):
        """What a server of these names needs."""
        issuer = Ca("Impostor CA") if lib.lens == "next-hop-is-an-impostor" else self
        return issuer.certificate(names, days).context()


class Certificate:
    def __init__(self, stem):
        self.path, self.key = stem + ".pem", stem + ".key"

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)

        def note(sock, name, _):
            sock.asked_name = name

        context.sni_callback = note
        return context

    def public_key(self):
        """SubjectPublicKeyInfo, as DER."""
        pem = openssl("x509", "-in", self.path, "-noout", "-pubkey")
        return base64.b64decode(b"".join(line for line in pem.splitlines() if b"-----" not in line))

    def pin(self):
        return "sha256/" + base64.b64encode(hashlib.sha256(self.public_key()).digest()).decode()
