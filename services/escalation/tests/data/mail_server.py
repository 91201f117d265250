"""A mail server for the tests of mail: aiosmtpd, with mailboxes that refuse.

Usage: mail_server.py starttls|tls|plain CERTIFICATE KEY

Prints its port, then one line of JSON for each mail it has taken.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Mailboxes:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return f"550 5.1.1 there is no mailbox {address}"
        if address.startswith("busy@"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "to": envelope.rcpt_tos,
            "user": session.auth_data,
            "content": envelope.content.decode(),
        }
        print(json.dumps(mail), flush=True)
        return "250 OK queued"


def authenticate(server, session, envelope, mechanism, data):
    right = data.password == b"right"
    # What the handler sees as `session.auth_data`.
    return AuthResult(success=right, handled=False, auth_data=data.login.decode() if right else None)


async def main():
    mode, certificate, key = sys.argv[1:4]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    starttls = {"tls_context": context, "require_starttls": True} if mode == "starttls" else {}

    def session():
        return SMTP(
            Mailboxes(),
            authenticator=authenticate,
            auth_require_tls=mode == "starttls",
            auth_required=mode != "plain",
            **starttls,
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", 0, ssl=context if mode == "tls" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
