"""Writes vectors.json: what Python makes of JSON texts, and how the CRM document's receiver signs them.

    python3 test/signing/vectors.py > test/signing/vectors.json

Only the standard library, and the same output on every run.
"""
import hashlib
import hmac
import json
import random
import struct

SECRET = "chave-secreta"


# As in the CRM document, word for word.
def generate_signature(secret_key: str, payload: dict) -> str:
    payload_bytes = json.dumps(payload, sort_keys=True).encode()
    return hmac.new(
        secret_key.encode(),
        payload_bytes,
        hashlib.sha256
    ).hexdigest()


def floats():
    yield from """
        1000.00 1000.0 1e3 1E3 1e+3 1.0e-0 -0.0 0.0 0e0 -0e5 0.1 0.10 1e-7 1e-5 0.00001 1e-4 0.0001 0.00012345
        9.999e-5 1e15 1e16 1e17 1e20 1e21 1e22 1e23 1.5e21 -1e21 1e100 1e308 1.7976931348623157e308 2.2250738585072014e-308
        5e-324 4.9e-324 2.5e-324 2.4e-324 1e-400 123456789012345.0 1234567890123456.0 12345678901234567.0
        123456789012345678901.0 9999999999999998.0 99999999999999990.0 9007199254740993.0 0.30000000000000004
        3.141592653589793238462643383279 100000000000000000000000.000 1.0000000000000002 4.35 2.675 1e-10 1.5e-10
        123e-20 -1.5e-7 7.038531e-26
    """.split()
    seeded = random.Random(20250220)
    for _ in range(150):
        bits = seeded.getrandbits(64)
        value = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
        if value != value or value in (float("inf"), float("-inf")):
            continue
        yield seeded.choice([repr(value), "%.20e" % value, "%.16E" % value])
    for _ in range(150):
        value = seeded.uniform(-1, 1) * 10.0 ** seeded.randint(-9, 24)
        yield seeded.choice([repr(value), "%.3f" % value, "%.17e" % value, "%.25f" % value, "%.1e" % value])
    for _ in range(60):
        yield "%de%s%d" % (seeded.randint(-9999, 9999), seeded.choice(["", "+", "-"]), seeded.randint(0, 40))


def integers():
    yield from """
        0 -0 1 -1 10 999999999999999 1000000000000000 9007199254740991 9007199254740992 9007199254740993
        -9007199254740991 -9007199254740992 -9007199254740993 18446744073709551616
        1234567890123456789012345678901234567890 -1234567890123456789012345678901234567890
    """.split()
    yield "1" + "0" * 4299


def strings():
    yield from [
        r'""', '"Novo Negócio"', '"日本語"', '"😀"', r'"\ud83d\ude00"', r'"\u00e9\u00E9"', '"\U0010ffff\uffff\ue000"',
        r'"\"\\\/\b\f\n\r\t"', r'"\u0000\u0001\u001f\u007f\u0080"', '"\x7f\x80\xa0"', '"\u2028\u2029"', r'"</script>"',
        r'"\ud800"', r'"\udc00"', r'"\ude00\ud83d"', r'"a\ud83dz"', r'"\ud83d\ud83d\ude00"', '"\ufeff"', "\" !#[]^~'\""
    ]
    yield json.dumps("".join(map(chr, range(0x20))))


def documents():
    yield from [
        "null", "true", "false", "[]", "{}", "[[]]", "[{}]", '{"":{}}', '{"a":[],"b":{}}', ' \t\r\n[ 1 ,2 ] \n',
        '{"b":1,"a":2,"C":3,"10":4,"9":5,"é":6,"_":7,"":8}',
        '{"\ue000":1,"\U00010000":2,"\uffff":3,"\U0010ffff":4,"\ud7ff":5,"z":6}',
        r'{"\ud800":1,"\ud800\udc00":2,"\ud800x":3,"\udc00":4,"\ue000":5,"\ud800\ue000":6,"\ud800\udc01":7,"\ud800~":8}',
        r'{"x\ud83dz":1,"x\ud83da":2,"x\ud83d":3,"x\ud83d\ude00":4,"x":5,"x\ud83d\ud83d":6}',
        '{"ab":1,"a":2,"abc":3,"aa":4}',
        '{"__proto__":{"__proto__":1000.00},"constructor":[1.0],"toString":null,"hasOwnProperty":false,"toJSON":"x"}',
        '[[[1000.00,[1000.00,{"v":1000.00}]]],1000]',
        '{"event_type":"deal.created","created_at":"2025-02-20T09:34:00Z",'
        '"data":{"id":1,"title":"Novo Negócio","value":1000.00,"status":"new"}}',
        "[" * 90 + "]" * 90, '{"a":' * 90 + "1" + "}" * 90
    ]


def vectors():
    for text in [*floats(), *integers(), *strings(), *documents()]:
        payload = json.loads(text)
        yield {
            "text": text,
            "canonical": json.dumps(payload, sort_keys=True),
            "signature": generate_signature(SECRET, payload),
        }


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(vector) for vector in vectors())
    print('{"secret": %s, "vectors": [\n%s\n]}' % (json.dumps(SECRET), lines))
