#!/usr/bin/env python3
"""Records how Python's configobj 5.0.9 reads a corpus of confs, the way certbot opens them.

    python3 -m venv v && v/bin/pip install configobj==5.0.9 && v/bin/python record.py > corpus.json

Each record is [text, sections]; sections is null where the text is rejected, else a list of
[path, [[key, value as written, value with names resolved or null]]].

With two arguments it prints as many drawn confs from that seed instead: record.py SEED COUNT.
"""
import json
import os
import random
import sys
import tempfile

import configobj

HEAD = "cert = c\nprivkey = p\nchain = h\nfullchain = f\n"
CHOSEN = [
    "",
    "\n\n# nothing\n",
    # What certbot 5 writes, and what certbot 0.x wrote.
    "version = 5.8.0\narchive_dir = /etc/letsencrypt/archive/a.example\ncert = /etc/letsencrypt/live/a.example/cert.pem\n"
    "privkey = /etc/letsencrypt/live/a.example/privkey.pem\nchain = /etc/letsencrypt/live/a.example/chain.pem\n"
    "fullchain = /etc/letsencrypt/live/a.example/fullchain.pem\n[renewalparams]\naccount = a3f2e9e91e7f04fb722c9765f4e018af\n"
    "pre_hook = echo PRE\npost_hook = 'echo \"POST [$RENEWED_DOMAINS] [$FAILED_DOMAINS]\"'\nserver = https://localhost:14000/dir\n"
    "authenticator = webroot\nwebroot_path = /var/www/html,\nkey_type = ecdsa\n[[webroot_map]]\nwww.a.example = /var/www/html\n"
    "a.example = /var/www/html\n[acme_renewal_info]\nari_retry_after = 2026-11-23T20:40:35\n",
    "# renew_before_expiry = 30 days\n" + HEAD + "\n# Options used in the renewal process\n[renewalparams]\nno_self_upgrade = False\n"
    "apache_enmod = a2enmod\nfunc = <function obtain_cert at 0x7f093a163c08>\nifaces = None\nrsa_key_size = 2048\n"
    "standalone_supported_challenges = \"tls-sni-01,http-01\"\nwebroot_map = {}\ndomains = a.example, b.example\ncsr = None\n",
    # Byte-order mark, line ends, a last line without one, separators that Python takes for blanks.
    "\ufeffa = 1\n", "\ufeff\ufeffa = 1\n", "a = 1\r\nb = 2\r\n[s]\r\nc = 3\r\n", "a = 1\r\r\nb = 2", "a = 1\rb = 2\n", "a = 1\n\n\n",
    "\x1ca\x1d=\x1e1\x1f\n", "\u3000a\u00a0=\u2003x\u2028\n", "a = x\x00y\n",
    # Keys.
    "\"k\" = 1\n'k2' = 2\n", "\"a=b\" = 1\n", "\"a\" b = 1\n", "\"a\" b\" = 1\n", " = 1\n", "  = 1\n", "= 1\n", "  \"a = 1\n",
    "\"a = 1\n", "a\n", "a : 1\n", "; a = 1\n", "a b = 1\n", "a == b\n", "a=b=c\n", "'' = 1\n", "a = 1\na = 2\n", "a = 1\n\"a\" = 2\n",
    "a=1", "a =", "a = \n", "[a = 1\n", "export a=1\n", "<a> = 1\n",
    # Values.
    "a = b # c\n", "a = b#c\n", "a = # c\n", "a = \"b # c\" # d\n", "a = it's\n", "a = b \"c\" d\n", "a = \"b\" c\n", "a = \"b\n", "a = 'b\"\n",
    "a = \"it's\"\n", "a = 'a'b'\n", "a = 'a' # 'b'\n", "a = 'a#b'c'\n", "a = 'a' b # c'\n", "a = \"\"\n", "a = ''\n", "a = \"  b \"\n",
    "a = echo \"a # b\"\n", "a = \\\"b\\\"\n", "a = $(date)\n", "a = \"x\"\"y\"\n",
    # Lists.
    "a = b, c\n", "a = b,\n", "a = ,\n", "a = , # c\n", "a = ,,\n", "a = , b\n", "a = b,, c\n", "a = b, c,\n", "a = \"b, c\", d\n", "a = \"b\",\n",
    "a = '', b\n", "a = b, ''\n", "a = b , 'c' # d\n", "a = b, \"c\n", "a = b, \"c\" d, e\n", "a = \"a\" \"b, c\", d\n", "a = b, ' , c\n",
    "a = b, c # d, e\n", "a = b,c#d\n", "a = b, #c\n", "a = echo a, b\n", "a = \"b\" c, d\n", "a = b, , c\n", "a = 'x', \"y'\", z\n",
    # Triple quotes.
    "a = '''b'''\n", "a = '''b\nc'''\n", "a = '''b\nc''' # d\n", "a = \"\"\"b\r\nc\"\"\"\r\n", "a = '''b\n", "a = '''b''' c\n", "a = '''b\nc''' d\n",
    "a = ''''b''''\n", "a = '''b\n[s]\n# no comment\n'''\nc = 1\n", "a = '''b # c\n", "a = '''''' # c\n", "a = '''b\n''' '''\n", "a = '''b\n'''''\n",
    # Sections.
    "[a]\nb = 1\n[c]\nd = 2\n", "[a]\n[[b]]\nc = 1\n[[d]]\n[e]\n", "[[a]]\n", "[a]\n[[[b]]]\n", "[a]\n[a]\n", "a = 1\n[a]\n", "[a\n", "[a]]\n", "[[a]\n",
    "[ a ]\n", "[ [a] ]\n", "[b]\n[ [ a ] ]\n", "['a']\n", "[\"a b\"]\n", "['a]\n", "[]\n", "[[]\n", "[]]\n", "[\"\"]\n", "[\" \"]\n", "[\"\"\"]\n", "[[\"a]\n",
    "[a] # see [b]\nc = 1\n", "[a] b\n", "[a]#b\n", "[#a]\n", "[a#]b]\n", "  [a]\n  b = 1\n", "[a]\n[[b]]\n[[[c]]]\nd = 1\n[[e]]\nf = 2\n[g]\n",
    "[a]\nb = 1\n[[b]]\n", "[a=b]\n", "[renewalparams] # written by hand, see [docs]\nserver = x\n",
    # Interpolation.
    "a = 1\nb = %(a)s\n", "b = %(a)s/%(c)s\na = 1\nc = %(a)s2\n", "a = %(b)s\n", "a = %(a)s\n", "a = %(b)s\nb = %(a)s\n", "a = 100%\nb = %\nc = %%\n",
    "a = 1\nb = %(a)d\n", "a = 1\nb = %(a)\n", "a = date +%(b)x %(a)s\n", "b = 1\n[s]\na = %(b)s\n", "b = 1\n[s]\nb = 2\na = %(b)s\n",
    "[s]\na = %(b)s\n[DEFAULT]\nb = 3\n", "[s]\na = %(b)s\n[[DEFAULT]]\nb = 4\n[DEFAULT]\nb = 3\n", "DEFAULT = 1\na = %(b)s\n", "DEFAULT = 1\nb = 2\na = %(b)s\n",
    "a = x, %(b)s\nb = y\n", "b = x, y\na = %(b)s\n", "[b]\n[s]\na = %(b)s\n", "b = 1\n[s]\na = %(b)s\n[[b]]\n", "a = %()s\n", "a = %(a%(b)s\nb = 1\n",
    "\"x)y\" = 1\na = %(x)y)s\n", "b = \"%(c)s\"\nc = 'it,s'\na = \"%(b)s # d\"\n", "[s]\n[[t]]\na = %(b)s\n[[u]]\nb = 1\n", "a = %(b)s%(b)s\nb = %(c)s%(c)s\nc = x\n",
    "[s]\nb = %(c)s\n[[t]]\na = %(b)s\nc = inner\n", "[s]\nb = %(c)s\nc = outer\n[[t]]\na = %(b)s\n", "hook = \"date +%Y%m%d; curl -w '%{http_code}'\"\n",
]

TOKENS = ["a", "b", "key", "=", " = ", "=", '"', "'", '"""', "'''", ",", ",", ", ", "#", " # ", " ", "  ", "\t", "[", "]", "[[", "]]", "[a]", "[[b]]",
          "\n", "\n", "\r\n", "%", "%(a)s", "%(b)s", "%(", ")s", "\x1c", "\u00a0", "\u00e9", "a = 1\n", "b = 2, 3\n", "[DEFAULT]\n", "\\", "\r", "it's",
          "\n[s]\n", "\n[[t]]\n", "k1 = ", "k2 = ", "\nk5 = \"", "\nk6 = '", "\n\"k 7\" = "]


def drawn(seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        way = rng.random()
        if way < 0.5:
            yield "a = " + "".join(rng.choice(TOKENS[:22]) for _ in range(rng.randrange(1, 12)))
        elif way < 0.65:
            yield "".join(rng.choice("[[]]  \"'#ab=") for _ in range(rng.randrange(1, 10))) + "\nz = 1"
        elif way < 0.8:
            yield "".join(rng.choice("\"' ab==#\t") for _ in range(rng.randrange(1, 10)))
        else:
            yield "".join(rng.choice(TOKENS) for _ in range(rng.randrange(1, 25)))


def tree(section, path, out):
    mine = []
    out.append([path, mine])
    for key in section.scalars:
        try:
            resolved = section[key]
        except Exception:
            resolved = None
            section.main.interpolation = True
        mine.append([key, dict.__getitem__(section, key), resolved])
    for name in section.sections:
        tree(dict.__getitem__(section, name), path + [name], out)
    return out


def read(text, path):
    with open(path, "wb") as conf:
        conf.write(text.encode())
    try:
        return tree(configobj.ConfigObj(path, encoding="utf-8", default_encoding="utf-8"), [], [])
    except configobj.ConfigObjError:
        return None


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "x.conf")
    if len(sys.argv) == 3:
        texts = list(dict.fromkeys(drawn(int(sys.argv[1]), int(sys.argv[2]))))
    else:
        texts = list(dict.fromkeys(CHOSEN + list(drawn(20261123, 900))))
    sys.stdout.write("[\n" + ",\n".join(json.dumps([text, read(text, path)]) for text in texts) + "\n]\n")
