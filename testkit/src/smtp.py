"""A mail server on 127.0.0.1 that keeps what it takes: smtp.py OPTIONS_AS_JSON. Each mail becomes a file of JSON."""

import asyncio
import itertools
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

options = json.loads(sys.argv[1])
numbers = itertools.count()


class Keeper:
    """Refuses whom the options name, and keeps everything else."""

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        for refused, answer in options["refuse"]:
            if address == refused:
                return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "surrogateescape"),
            "tls": session.ssl is not None or options["tls"] == "tls",
            "login": session.auth_data.decode() if session.authenticated else None,
        }
        name = os.path.join(options["folder"], f"{next(numbers):04}.json")
        with open(name + ".part", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(mail, file)
        os.rename(name + ".part", name)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    if isinstance(data, LoginPassword):
        print("login:", data.login.decode(errors="replace"), flush=True)
    if isinstance(data, LoginPassword) and options["login"] is not None:
        name, password = options["login"]
        if (data.login.decode(), data.password.decode()) == (name, password):
            return AuthResult(success=True, auth_data=data.login)
    return AuthResult(success=False, handled=False)


context = None
if options["tls"] != "none":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options["certificate"], options["key"])


def serve():
    return SMTP(
        Keeper(),
        hostname="mail.test",
        data_size_limit=10 * 1024 * 1024,
        tls_context=context if options["tls"] == "starttls" else None,
        require_starttls=options["tls"] == "starttls",
        auth_required=options["login"] is not None,
        # Whoever sends a password in the clear is seen: the test server takes it, and notes that there was no TLS.
        auth_require_tls=False,
        authenticator=authenticate,
        loop=asyncio.get_running_loop(),
    )


async def main():
    over = context if options["tls"] == "tls" else None
    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", options["port"], ssl=over)
    print("Serving", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
