#!/usr/bin/env python3
"""Lets certbot 5.8.0's own classes write two accounts, RSA and EC, and prints what they are called.

    python3 -m venv v && v/bin/pip install certbot==5.8.0 && v/bin/python record.py .

The test keys are worth nothing. vectors.json holds [id, SubjectPublicKeyInfo in base64] for each.
"""
import base64
import datetime
import json
import os
import sys
import types

import josepy as jose
from acme import messages
from certbot._internal import account
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

target = sys.argv[1]
config = types.SimpleNamespace(
    accounts_dir=target, strict_permissions=False, server_path="ca.example/dir",
    accounts_dir_for_server_path=lambda path: os.path.join(target, path))
vectors = []
for key in (jose.JWKRSA(key=rsa.generate_private_key(65537, 2048)), jose.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))):
    meta = account.Account.Meta(creation_dt=datetime.datetime(2026, 11, 23, 14, 35, 13, tzinfo=datetime.timezone.utc),
                                creation_host="vm", register_to_eff=None)
    registration = messages.RegistrationResource(uri=f"https://ca.example/acct/{len(vectors) + 1}", body=messages.Registration())
    made = account.Account(registration, key, meta)
    account.AccountFileStorage(config).save(made, None)
    spki = key.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    vectors.append([made.id, base64.b64encode(spki).decode()])
with open(os.path.join(target, "vectors.json"), "w") as out:
    json.dump(vectors, out, indent=1)
