#!/usr/bin/env python3
"""Records what the real Python VVAULT and the real Chatty code say about thousands of capsule texts.

    python3 scripts/record-fingerprints.py \\
        --forge  .../chatty/vvault_scripts/capsules/capsuleforge.py \\
        --core   .../vvault/vvault/memory/vvault_core.py \\
        --validator .../chatty/server/lib/capsuleIntegrityValidator.js \\
        --simforge  .../chatty/server/lib/simForge.js \\
        --out __test__/recorded/fingerprints

Holds no code of the originals: it loads them from the paths given, runs them and writes down the answers.
Each record: {name, text | base64, f1, f2, f3, f4[, f2WithKey]}; null where the original throws or refuses.
  f1  CapsuleForge.calculate_fingerprint of the loaded file
  f2  what VVAULTCore._validate_capsule_integrity computes; it refuses a capsule without metadata.fingerprint_hash,
      and then f2WithKey tells what it computes once the key is there
  f3  capsuleIntegrityValidator.recalculateFingerprint      f4  simForge.calculateCapsuleFingerprint
The same seed gives the same texts.
"""
import argparse
import base64
import hashlib
import importlib.util
import json
import logging
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))


# ------------------------------------------------------------------ the originals

def load_module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Tap:
    """Stands in for a module's `hashlib`, and remembers the last digest asked of it."""

    def __init__(self):
        self.last = None

    def sha256(self, data=b''):
        digest = hashlib.sha256(data)
        self.last = digest.hexdigest()
        return digest


class Python:
    def __init__(self, forge, core):
        sys.dont_write_bytecode = True
        forge_module = load_module('capsuleforge', forge)
        core_module = load_module('vvault_core', core)
        logging.disable(logging.CRITICAL)
        self.forge = forge_module.CapsuleForge.__new__(forge_module.CapsuleForge)
        self.core = core_module.VVAULTCore.__new__(core_module.VVAULTCore)
        self.tap = core_module.hashlib = Tap()
        self.scratch = tempfile.NamedTemporaryFile(delete=False)

    def _load(self, data):
        with open(self.scratch.name, 'wb') as f:
            f.write(data)
        with open(self.scratch.name, 'r', encoding='utf-8') as f:   # as both originals read a capsule
            return json.load(f)

    def _f2(self, capsule):
        self.tap.last = None
        self.core._validate_capsule_integrity(capsule)
        return self.tap.last

    def hashes(self, data):
        try:
            capsule = self._load(data)
        except (ValueError, RecursionError):   # not JSON, not UTF-8, an integer of more than 4,300 digits
            return {'f1': None, 'f2': None}
        f1 = self.forge.calculate_fingerprint(capsule)
        out = {'f1': None if f1 == 'error' else f1, 'f2': self._f2(capsule)}
        if out['f2'] is None and isinstance(capsule, dict) and isinstance(capsule.get('metadata'), dict):
            capsule['metadata']['fingerprint_hash'] = ''
            out['f2WithKey'] = self._f2(capsule)
        return out


def node(args, mode, *extra, stdin=None):
    command = [args.node, os.path.join(HERE, 'record-fingerprints.js'), mode, *extra]
    return json.loads(subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout)


# ------------------------------------------------------------------ random capsules, as Python writes them

CHARS = ['a', 'Z', '0', ' ', '"', '\\', '/', '\b', '\f', '\n', '\r', '\t', '\0', '\x01', '\x1f', '\x7f', '\x80', '\x85', '\x9f', '\xa0', '\xad',
         'é', 'ß', 'Ω', 'ж', '中', '\u2028', '\u2029', '\ufeff', '\ufffd', '\uffff', '\ufdd0', '\ue000', '\ud7ff', '🖤', '😀', '\U00010000',
         '\U0010ffff', '</tag>', '&', "'", '{', '}', '[', ',', ':', 'null', 'e\u0301', '\u200d', '\u202e']
LONE = ['\ud800', '\udbff', '\udc00', '\udfff']
KEYS = ['a', 'b', 'B', 'empathy', 'x y', '', '0', '1', '2', '9', '10', '01', '-1', '1.5', '4294967294', '4294967295', '9007199254740993', '_',
        '__proto__', 'constructor', 'toString', 'toJSON', 'length', 'hasOwnProperty', 'metadata', 'traits', 'memory', 'timestamp',
        'fingerprint_hash', 'last_active', 'forged_timestamp', 'é', '\ue000', '\uffff', '\U00010000', '😀', '"', '\\', '\n', '\x7f']
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 0.1 + 0.2, 1 / 3, 5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308,
          1e-4, 1e-5, 1e-6, 1e-7, 1.5e-05, 1e15, 1e16, 9999999999999998.0, 123456789012345680.0, 1e20, 1e21, 1e22, 1e23, 1.5e21, 2.0 ** 53, 4.35,
          100000000000000000000.0, 123456789.123, 5e-5, 0.00012345, float('nan'), float('inf'), float('-inf')]
INTS = [0, 1, -1, 7, 2 ** 31, -2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 + 1, -2 ** 53 - 1, 2 ** 63 - 1, 2 ** 63, -2 ** 63, 2 ** 64, 2 ** 64 - 1,
        10 ** 21, 10 ** 22, 10 ** 30 + 7, 123456789012345678901234567890123456789, -10 ** 40 - 1, 2 ** 200, 10 ** 308, 10 ** 309, 2 ** 1024]


def bits(rng):
    return struct.unpack('>d', struct.pack('>Q', rng.getrandbits(64)))[0]


class Random:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, n):
        return self.rng.randrange(n) == 0

    def number(self):
        r = self.rng
        kind = r.randrange(6)
        if kind == 0:
            return r.choice(FLOATS)
        if kind == 1:
            return r.choice(INTS)
        if kind == 2:
            return bits(r)
        if kind == 3:
            return r.randrange(-50000, 50000)
        if kind == 4:
            return round(r.random(), r.randrange(1, 17))
        return r.choice([-1, 1]) * r.getrandbits(r.randrange(1, 160))

    def string(self, lone):
        alphabet = CHARS + LONE if lone else CHARS
        return ''.join(self.rng.choice(alphabet) for _ in range(self.rng.randrange(10)))

    def value(self, lone, depth=0):
        r = self.rng
        kind = r.randrange(6 if depth > 2 else 9)
        if kind < 2:
            return self.number()
        if kind < 4:
            return self.string(lone)
        if kind == 4:
            return r.choice([True, False, None])
        if kind == 5:
            return r.choice([[], {}])
        if kind == 6:
            return [self.value(lone, depth + 1) for _ in range(r.randrange(4))]
        return self.object(lone, depth + 1, r.randrange(4))

    def object(self, lone, depth, n):
        return {(self.string(lone) if self.chance(3) else self.rng.choice(KEYS)): self.value(lone, depth) for _ in range(n)}

    def capsule(self, lone):
        r = self.rng
        meta = {'instance_name': r.choice(['Nova', 'lin-001', self.string(lone)]), 'uuid': '%08x-0000-4000-8000-%012x' % (r.getrandbits(32), r.getrandbits(48)),
                'timestamp': '2026-01-02T03:04:05.678901+00:00'}
        if not self.chance(8):
            meta['fingerprint_hash'] = self.value(lone, 2) if self.chance(10) else '%064x' % r.getrandbits(256)
        if self.chance(2):
            meta['tether_signature'] = r.choice(['DEVON-ALLEN-WOODSON-SIG', '', self.string(lone)])
        if self.chance(3):
            meta.update(self.object(lone, 2, 2))
        c = {}
        if not self.chance(12):
            c['metadata'] = self.value(lone, 1) if self.chance(15) else meta
        if self.chance(2):
            c['traits'] = {'empathy': self.number(), 'drift': self.number(), 'persistence': self.number()}
        if self.chance(3):
            c['personality'] = {'personality_type': 'INFJ', 'mbti_breakdown': self.object(lone, 2, 2)}
        if self.chance(2):
            c['memory'] = {'short_term_memories': [self.string(lone), self.string(lone)], 'memory_count': self.number()}
        if self.chance(3):
            sigil = self.value(lone, 2) if self.chance(4) else {'active': True, 'forged_timestamp': self.string(lone), 'pattern': self.value(lone, 2)}
            c['additional_data'] = self.value(lone, 1) if self.chance(6) else {'sigil': sigil, 'last_active': 1}
        if self.chance(3):
            c['last_active'] = self.value(lone, 1)
        c.update(self.object(lone, 1, r.randrange(4)))
        if self.chance(4):
            c['memory_log'] = [self.value(lone, 1)]
        return c


def python_texts(seed, count):
    out = []
    rnd = Random(seed)
    for i in range(count):
        escaped = i % 2 == 0
        lone = escaped and rnd.chance(2)   # json.dump of a lone surrogate works only with ensure_ascii
        value = rnd.value(lone) if rnd.chance(40) else rnd.capsule(lone)
        text = json.dumps(value, indent=rnd.rng.choice([2, 2, None]), ensure_ascii=escaped)
        out.append(('python-%d' % i, text.encode('utf-8')))
    return out


# ------------------------------------------------------------------ numbers, spelled in every way

def with_numbers(numbers):
    return ('{"metadata":{"fingerprint_hash":"0"},"traits":[%s]}' % ','.join(numbers)).encode()


def exact(x):
    """A finite double's exact decimal expansion."""
    f = Fraction(x)
    digits = 0
    d = f.denominator
    while d > 1:
        d //= 2
        digits += 1
    n = abs(f.numerator) * (10 ** digits // f.denominator)
    s = str(n).rjust(digits + 1, '0')
    return ('-' if x < 0 else '') + (s[:-digits] + '.' + s[-digits:] if digits else s + '.0')


def midpoint(x):
    """The exact decimal half way to the next double: the hardest numbers to read right."""
    y = math.nextafter(x, math.inf)
    f = (Fraction(x) + Fraction(y)) / 2
    d, k = f.denominator, 0
    while d > 1:
        d //= 2
        k += 1
    return str(f.numerator * 5 ** k) + 'e-%d' % k


SPELLINGS = '''0 -0 0.0 -0.0 0e0 -0e0 0E5 0e-5 0.000 -0.000e10 0e999999999 -0e-999999999 1 1.0 1.00 1. 01 .5 +1 1e0 1E0 1e5 1E5 1e+5 1E+5 1e05 1e+05 1e-05 1e-5 1e-0
10e-1 100000 100000.0 1e15 1e16 1e17 1e20 1e21 1e22 1e23 1E22 1e+22 10000000000000000 10000000000000000.0 9999999999999999.0 99999999999999990.0 9007199254740992
9007199254740993 9007199254740993.0 -9007199254740993 9007199254740994 100000000000000000000 100000000000000000000.0 1000000000000000000000 1000000000000000000000.0
999999999999999900000.0 1e-4 1e-6 1e-7 0.0001 0.00001 0.000001 0.0000001 0.00001234 0.0001234 0.30000000000000004 0.1 0.10 0.100000000000000005 0.3 1.1 2.675 4.35 1.005
5e-324 4e-324 3e-324 2e-324 4.9406564584124654e-324 2.4703282292062327e-324 2.4703282292062328e-324 2.2250738585072014e-308 2.2250738585072011e-308 2.225073858507201e-308
1.7976931348623157e308 1.7976931348623158e308 1.7976931348623159e308 1.8e308 1e309 -1e309 1e400 -1e400 1e-400 -1e-400 1e99999 123456789012345678901234567890
-123456789012345678901234567890 12345678901234567890 18446744073709551615 18446744073709551616 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
4294967295 4294967296 2147483648 1234567890123456789012345678901234567890.5 0.1e1 12e1 123.456e-2 1.7976931348623157E+308 6.02214076e23 6.02214076E+23 1e1000000000000 0.0e1000
NaN Infinity -Infinity -NaN nan inf +Infinity true false null True None undefined 0x10 1_000 ١ 1e 1e+ - --1 1.e5 1.5.5 00 -00 -01 0.1.0'''.split()


def number_texts(seed, count):
    out = []
    for i, s in enumerate(SPELLINGS):
        out.append(('number %s' % s, with_numbers([s])))
    for digits in (30, 100, 308, 309, 400, 640, 4299, 4300, 4301):   # Python reads no integer of more than 4,300 digits
        out.append(('integer of %d digits' % digits, with_numbers(['9' * digits, '-' + '7' * digits] if digits < 4000 else ['9' * digits])))
    out.append(('float of 4400 digits', with_numbers(['1' * 4400 + '.5', '0.' + '3' * 800])))
    rng = random.Random(seed)
    per = 16
    for i in range(count // per):
        numbers = []
        while len(numbers) < per:
            x = bits(rng)
            if not math.isfinite(x):
                continue
            small = abs(math.frexp(x)[1]) < 120
            style = rng.randrange(10)
            if i % 2 and style < 5:   # near one: the numbers that capsules hold
                x = math.ldexp(math.frexp(x)[0], rng.randrange(-30, 70))
                small = True
            numbers.append(repr(x) if style < 5 else '%.17g' % x if style == 5 else '%.20E' % x if style == 6 else
                           (exact(x) if style == 7 else midpoint(x)) if style < 9 and small else '%.15g' % x)
        out.append(('doubles %d' % i, with_numbers(numbers)))
    for i in range(40):
        out.append(('integers %d' % i, with_numbers([str(rng.choice([-1, 1]) * rng.getrandbits(rng.randrange(1, 400))) for _ in range(8)])))
    return out


# ------------------------------------------------------------------ odd texts, made by hand

def odd_texts():
    out = []

    def add(name, text):
        out.append((name, text if isinstance(text, bytes) else text.encode('utf-8')))

    fp = '"fingerprint_hash": "' + 'ab' * 32 + '"'
    base = '{"metadata": {"uuid": "u", ' + fp + '}%s}'

    # strings: every escape, and each alone as value and as key
    escapes = ['\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t', '\\u0000', '\\u0008', '\\u001f', '\\u0020', '\\u0022', '\\u002f', '\\u005c', '\\u007f', '\\u0080',
               '\\u009F', '\\u00e9', '\\u00E9', '\\u2028', '\\uFEFF', '\\uffff', '\\ud83d\\udda4', '\\uD83D\\uDDA4', '\\ud800', '\\udbff', '\\udc00', '\\udfff', '\\udda4\\ud83d',
               '\\ud83d\\ud83d\\udda4', '\\ud83d\\udda4\\udda4', '\\ud83d\\u0041', '\\ud83dx', '\\ud83d\\n', '\\ud800\\ue000', '\\ud83d🖤',
               '/', '\x7f', '\x80', '\x9f', '\u2028', '\u2029', '\ufeff', '\ufffd', '\uffff', '\ufffe', '🖤', '\U0010ffff', 'é', 'e\u0301']
    for e in escapes:
        add('string %s' % ascii(e), base % (', "traits": {"v": "%s", "%s": 1, "z": "a%sb"}' % (e, e, e)))
    bad = ['\\x41', '\\u12', '\\u12g4', '\\U0001f600', "\\'", '\\', '\n', '\t', '\x00', '\x1f', '\\u{41}', '\\ud83d\\u12', '\\a', '\\0']
    for e in bad:
        add('bad string %s' % ascii(e), base % (', "v": "%s"' % e))

    # key order: code points against UTF-16 units, integer-like keys, escapes that spell the same key
    odd_keys = ['\uffff', '\ue000', '\U00010000', '😀', '\ud7ff', 'z', 'é', '~', '\x7f', '', ' ', 'A', 'a', '_', '10', '9', '1', '0', '01', '-1', '4294967294', '4294967295', '1e3']
    add('key order', base % (', "traits": {%s}' % ', '.join('%s: %d' % (json.dumps(k, ensure_ascii=False), i) for i, k in enumerate(odd_keys))))
    add('key order, top', '{%s, "metadata": {%s}}' % (', '.join('%s: %d' % (json.dumps(k, ensure_ascii=False), i) for i, k in enumerate(odd_keys)), fp))
    add('key order, lone surrogates', base % ', "traits": {"\\ud83d\\udda4": 1, "\\ue000": 2, "\\udfff": 3, "\\ud83d": 4, "\\ud83dz": 5, "\\uffff": 6, "\\ud83e": 7, "\\ud83d\\ue000": 8, "\\udbff\\udfff": 9}')
    add('key order, lone surrogates, top', '{"\\ud83d\\udda4": 1, "\\ue000": 2, "\\udfff": 3, "\\ud83d": 4, "\\ud83dz": 5, "\\uffff": 6, "n": {"\\ud83d": 1, "\\ue000": 2, "\\ud83d\\udda4": {}}, "metadata": {%s}}' % fp)
    add('integer keys, nested and top', '{"10": {"9": 1, "10": 2, "2": 3, "b": 4}, "9": {"10": [{"9": 1, "x": 2}]}, "2": -0, "b": 1e21, "metadata": {"2": 1e-7, "10": -0.0, %s}}' % fp)
    add('integer keys beyond 2^32', '{"4294967295": 1, "4294967294": 2, "4294967296": 3, "99999999999999999999": 4, "x": {"4294967295": 1, "4294967294": 2}, "metadata": {%s}}' % fp)

    # names that mean something in JavaScript
    for k in ['__proto__', 'constructor', 'toString', 'toJSON', 'valueOf', 'hasOwnProperty', 'length', '__defineGetter__', 'prototype']:
        add('key %s at the top' % k, '{"%s": {"a": 1, "metadata": 2, "%s": 3}, "traits": {"a": 1, "metadata": {"x": 1}}, "list": [{"a": 1}, {"%s": 5}, []], "metadata": {%s}}' % (k, k, k, fp))
        add('key %s nested' % k, base % (', "traits": {"%s": {"a": [1]}, "a": {"%s": null}}' % (k, k)))
        add('key %s with a string' % k, '{"%s": "x", "traits": {"%s": "y"}, "o": {}, "metadata": {"%s": 1, %s}}' % (k, k, k, fp))
    add('__proto__ holding metadata', '{"__proto__": {"metadata": {"fingerprint_hash": "x"}, "last_active": 1}, "traits": {}}')
    add('__proto__ twice', '{"__proto__": 1, "metadata": {%s, "__proto__": {"a": 1}, "__proto__": {"b": 2}}, "__proto__": [{}]}' % fp)
    add('metadata.__proto__ holding the hash', '{"metadata": {"__proto__": {"fingerprint_hash": "x"}, "uuid": "u"}, "traits": {"uuid": 1}}')

    # duplicate keys: the last one wins, whole
    add('duplicate scalar', base % ', "traits": {"x": 1, "y": 2, "x": 1.0}')
    add('duplicate object', base % ', "traits": {"x": {"a": 1, "b": 2}, "y": 2, "x": {"c": 3}}')
    add('duplicate nested in list', base % ', "traits": [{"x": {"y": 1, "y": 2}, "x": [{"z": 1, "z": {}}]}]')
    add('duplicate by escape', base % ', "traits": {"x": 1, "\\u0078": 2, "\\u0078y": 3, "xy": 4}')
    add('duplicate metadata', '{"metadata": {"a": 1, %s}, "traits": 1, "metadata": {"b": 2, %s}}' % (fp, fp))
    add('duplicate metadata, the last without a hash', '{"metadata": {"a": 1, %s}, "traits": 1, "metadata": {"b": 2}}' % fp)
    add('duplicate metadata, the last no object', '{"metadata": {%s}, "metadata": 5}' % fp)
    add('duplicate fingerprint_hash', '{"metadata": {%s, "u": 1, "fingerprint_hash": "two"}}' % fp)
    add('fingerprint_hash by escape', '{"metadata": {"\\u0066ingerprint_hash": "x", "u": 1}}')
    add('fingerprint_hash by escape and plain', '{"metadata": {"\\u0066ingerprint_hash": "x", "u": 1, "fingerprint_hash": "y"}}')
    add('metadata by escape', '{"\\u006detadata": {"fingerprint_hash": "x", "u": 1}, "traits": 1}')
    add('metadata by escape, then plain', '{"\\u006detadata": {"fingerprint_hash": "x", "u": 1}, "metadata": {"u": 2}}')
    add('integer keys twice', base % ', "traits": {"2": 1, "1": 2, "2": 3, "b": 4, "1": 5}')

    # metadata and the hash of every kind
    for v in ['null', '5', '0', '0.0', 'true', 'false', '"x"', '""', '[]', '{}', '["fingerprint_hash"]', '[{"fingerprint_hash": "x"}]', '{"fingerprint_hash": {}}']:
        add('metadata is %s' % v, '{"metadata": %s, "traits": {"a": 1}}' % v)
    for v in ['null', '5', '1.0', 'true', '[]', '{}', '""', '"short"', '"%s"' % ('AB' * 32), '{"x": 1e5}', '["a"]']:
        add('fingerprint_hash is %s' % v, '{"metadata": {"uuid": "u", "fingerprint_hash": %s}, "traits": {"uuid": 1}}' % v)
    add('no fingerprint_hash', '{"metadata": {"uuid": "u", "timestamp": "t"}, "traits": {"a": 1.0}}')
    add('no metadata', '{"traits": {"a": 1}, "memory": {}}')
    add('fingerprint_hash elsewhere too', '{"fingerprint_hash": "top", "traits": {"fingerprint_hash": "t"}, "metadata": {%s, "more": {"fingerprint_hash": "deep"}}}' % fp)
    for v in ['[]', '[1, 1.0]', '["metadata"]', '[{"metadata": {"fingerprint_hash": "x"}, "0": 1, "a": 2}]', '{}', '5', '-0', '1.0', '"metadata"', '"x"', '""', 'null', 'true', 'false', 'NaN', '[[[]]]', '[{"0": {"0": 1, "1": 2}}, {"1": 3}]']:
        add('a capsule that is %s' % v, v)

    # what F4 leaves out, and what it does not
    add('timestamps', '{"metadata": {"timestamp": "t1", "x": {"timestamp": "t2", "fingerprint_hash": "y"}, %s}, "timestamp": "t3", "last_active": "l1", "traits": {"last_active": "l2", "timestamp": 1}}' % fp)
    for v in ['null', '[]', '5', '"s"', '{}', '{"sigil": null}', '{"sigil": []}', '{"sigil": "s"}', '{"sigil": 5}', '{"sigil": {}}', '{"sigil": {"forged_timestamp": "f"}}',
              '{"sigil": {"forged_timestamp": {"deep": 1}, "forged_timestamp2": 1}}', '{"sigil": [{"forged_timestamp": "f"}]}', '{"forged_timestamp": "f", "last_active": 1}', '[{"sigil": {"forged_timestamp": 1}}]']:
        add('additional_data is %s' % v, base % (', "additional_data": %s, "last_active": {"a": 1}' % v))
    add('sigil at the top', base % ', "sigil": {"forged_timestamp": "f"}, "forged_timestamp": 1')

    # the allow-list of F3: nested members whose name is a top-level name
    add('allow-list hit', '{"metadata": {%s, "traits": 1, "hidden": 2, "metadata": {"traits": 1}}, "traits": {"a": 1, "memory": 2}, "memory": {"short": ["x", {"traits": 1, "y": 2}], "metadata": [1, 2.50]}}' % fp)
    add('allow-list, lists are whole', base % ', "memory_log": ["a", ["b", {"memory_log": 1, "c": 2}], [], {}], "x": []')
    add('allow-list, empty objects', base % ', "a": {}, "b": {"q": 1}, "c": {"c": {}}, "d": {"a": []}')
    add('allow-list, numbers', '{"metadata": {%s, "n": -0}, "n": [1e21, 1e-7, -0, -0.0, 1.0, 123456789012345678901234567890, 1e400, 0.1], "m": {"n": 1E5, "m": 1e-7}}' % fp)

    # what F4 writes of numbers
    for v in ['-0', '-0.0', '1e21', '1e20', '1e-7', '1e-6', '123456789012345678901', '1e400', '-1e400', '5e-324', '1.0', '100', '0.1', '1E+2', '9007199254740993']:
        add('F4 number %s' % v, base % (', "n": %s, "10": {"2": %s, "1": [%s]}' % (v, v, v)))

    # nesting, white space, what is not JSON
    add('deep lists', base % (', "d": ' + '[' * 200 + ']' * 200))
    add('deep objects', base % (', "d": ' + '{"d":' * 200 + '{}' + '}' * 200))
    add('very deep lists', base % (', "d": ' + '[' * 900 + ']' * 900))   # Python stops a little below 1,000, Node at some thousands
    add('very deep objects', base % (', "d": ' + '{"d":' * 900 + '{}' + '}' * 900))
    add('white space', '\r\n\t {"metadata"\r\n:\t{%s}\n,\r"traits" : [ ] , "x" : { } , "y":[ 1 , 2 ]}\r\n\t ' % fp)
    add('CRLF', '{\r\n  "metadata": {\r\n    %s\r\n  },\r\n  "traits": {}\r\n}\r\n' % fp)
    add('no-break space between', base % ',\u00a0"x": 1')
    add('form feed between', base % ',\f"x": 1')
    add('U+2028 between', base % ',\u2028"x": 1')
    add('byte order mark', b'\xef\xbb\xbf' + (base % '').encode())
    add('UTF-16', (base % '').encode('utf-16'))
    add('trailing comma', base % ', "x": [1,]')
    add('trailing comma in object', base % ', "x": {"a": 1,}')
    add('comment', base % ', "x": 1 /* c */')
    add('single quotes', "{'metadata': {}}")
    add('text behind', (base % '') + 'x')
    add('two values', (base % '') + ' ' + (base % ''))
    add('NUL behind', (base % '').encode() + b'\0')
    add('empty', '')
    add('only space', ' \n')
    add('half a file', (base % ', "memory": {"short_term_memories": ["abc", "def"]}')[:-20])
    add('NaN, Infinity in a capsule', base % ', "traits": {"a": NaN, "b": Infinity, "c": -Infinity, "d": [NaN]}')
    add('NaN as string', base % ', "traits": {"a": "NaN"}')

    # bytes that are not UTF-8: Python refuses, Node reads U+FFFD
    for name, raw in [('a lone continuation', b'\x80'), ('a cut sequence', b'\xe2\x82'), ('an encoded surrogate', b'\xed\xa0\x80'), ('an encoded pair', b'\xed\xa0\xbd\xed\xb6\xa4'),
                      ('an overlong slash', b'\xc0\xaf'), ('beyond U+10FFFF', b'\xf4\x90\x80\x80'), ('latin-1', b'caf\xe9'), ('a cut astral', b'\xf0\x9f\x96'), ('FE FF', b'\xfe\xff'), ('five bytes', b'\xf8\x88\x80\x80\x80')]:
        head, tail = (base % ', "traits": {"v": "@", "w": 1}').encode().split(b'@')
        add('not UTF-8: %s' % name, head + raw + tail)
    add('not UTF-8 in a key', b'{"metadata": {"fingerprint_hash": "x"}, "a\xff": 1, "a\xfe": 2}')
    return out


# ------------------------------------------------------------------

def main():
    p = argparse.ArgumentParser()
    for name in ('forge', 'core', 'validator', 'simforge', 'out'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--node', default='node')
    p.add_argument('--seed', type=int, default=20261122)
    p.add_argument('--count', type=int, default=1100, help='random capsules from each writer')
    p.add_argument('--doubles', type=int, default=6000)
    args = p.parse_args()

    written = node(args, 'texts', '--seed', str(args.seed), '--count', str(args.count))
    groups = {
        'python': python_texts(args.seed, args.count),
        'node': [(t['name'], t['text'].encode('utf-8')) for t in written],
        'numbers': number_texts(args.seed, args.doubles),
        'odd': odd_texts(),
    }
    python = Python(args.forge, args.core)
    os.makedirs(args.out, exist_ok=True)
    for group, texts in groups.items():
        names = [n for n, _ in texts]
        assert len(names) == len(set(names)), 'two records of one name'
        stdin = json.dumps([base64.b64encode(t).decode() for _, t in texts]).encode()
        theirs = node(args, 'hash', '--validator', args.validator, '--simforge', args.simforge, stdin=stdin)
        lines = []
        for (name, data), js in zip(texts, theirs):
            record = {'name': name}
            try:
                record['text'] = data.decode('utf-8')
            except UnicodeDecodeError:
                record['base64'] = base64.b64encode(data).decode()
            py = python.hashes(data)
            record.update({'f1': py['f1'], 'f2': py['f2'], 'f3': js['f3'], 'f4': js['f4']})
            if 'f2WithKey' in py:
                record['f2WithKey'] = py['f2WithKey']
            lines.append(json.dumps(record))
        path = os.path.join(args.out, group + '.json')
        with open(path, 'w', encoding='ascii') as f:
            f.write('[\n' + ',\n'.join(lines) + '\n]\n')
        print('%s: %d records, %d bytes' % (path, len(lines), os.path.getsize(path)))
    os.unlink(python.scratch.name)


if __name__ == '__main__':
    main()
