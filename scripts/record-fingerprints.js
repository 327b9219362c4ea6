#!/usr/bin/env node
'use strict';
// Records what real Node code says about capsule texts. Holds no code of the originals: it loads them from the paths given.
//
//   node record-fingerprints.js texts --seed 1 --count 900
//       prints [{ name, text }]: random capsules as JSON.stringify writes them
//   node record-fingerprints.js hash --validator capsuleIntegrityValidator.js --simforge simForge.js < texts.json
//       reads [base64], prints [{ f3, f4 }] (null: the original refused the text)
//
// Called by record-fingerprints.py, which does the same for the Python side and writes the files.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const Module = require('node:module');
const { pathToFileURL } = require('node:url');

function options(argv) {
  const out = {};
  for (let i = 0; i < argv.length; i += 2) out[argv[i].replace(/^--/, '')] = argv[i + 1];
  return out;
}

// ---------------------------------------------------------------- the originals

// The validator is CommonJS inside a package of "type": "module", so it can't simply be required where it lies.
function loadValidator(file) {
  const mod = new Module(file);
  mod.filename = file;
  mod.paths = Module._nodeModulePaths(path.dirname(file));
  mod._compile(fs.readFileSync(file, 'utf8'), file);
  return mod.exports;
}

// simForge imports a database client and its sibling; empty stand-ins are enough for the hash.
async function loadSimForge(file) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'simforge-'));
  try {
    const client = path.join(dir, 'node_modules', '@supabase', 'supabase-js');
    fs.mkdirSync(client, { recursive: true });
    fs.writeFileSync(path.join(dir, 'package.json'), '{"type":"module"}');
    fs.writeFileSync(
      path.join(client, 'package.json'),
      '{"name":"@supabase/supabase-js","type":"module","main":"index.js"}',
    );
    fs.writeFileSync(path.join(client, 'index.js'), 'export const createClient = () => null\n');
    fs.writeFileSync(path.join(dir, 'capsuleIntegration.js'), 'export class CapsuleIntegration {}\n');
    fs.copyFileSync(file, path.join(dir, 'simForge.js'));
    return (await import(pathToFileURL(path.join(dir, 'simForge.js')))).simForge;
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

async function hash(opts) {
  const validator = loadValidator(path.resolve(opts.validator));
  const say = console.log;
  console.log = console.error = console.warn = () => {};
  const forge = await loadSimForge(path.resolve(opts.simforge));
  const tried = (f) => {
    try {
      return f();
    } catch {
      return null;
    }
  };
  const results = JSON.parse(fs.readFileSync(0, 'utf8')).map((base64) => {
    const text = Buffer.from(base64, 'base64').toString('utf8'); // as fs.readFile(path, 'utf8') gives it
    return {
      f3: tried(() => validator.recalculateFingerprint(JSON.parse(text))),
      f4: tried(() => forge.calculateCapsuleFingerprint(JSON.parse(text))),
    };
  });
  say(JSON.stringify(results));
}

// ---------------------------------------------------------------- random capsules, as Node writes them

function generator(seed) {
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n) => next() % n;
  const pick = (list) => list[below(list.length)];
  const chance = (n) => below(n) === 0;
  return { next, below, pick, chance };
}

const CHARS = [
  'a',
  'Z',
  '0',
  ' ',
  '"',
  '\\',
  '/',
  '\b',
  '\f',
  '\n',
  '\r',
  '\t',
  '\0',
  '\x01',
  '\x1f',
  '\x7f',
  '\x80',
  '\x9f',
  '\xa0',
  'é',
  'ß',
  'Ω',
  'ж',
  '中',
  '\u2028',
  '\u2029',
  '\ufeff',
  '\ufffd',
  '\uffff',
  '\ue000',
  '\ud7ff',
  '🖤',
  '😀',
  '𐀀',
  '\u{10ffff}',
  '\ud800',
  '\udbff',
  '\udc00',
  '\udfff',
  '</tag>',
  '&',
  "'",
  '{',
  '}',
  '[',
  ',',
  ':',
  'null',
  'é',
];
const KEYS = [
  'a',
  'b',
  'B',
  'empathy',
  'x y',
  '',
  '0',
  '1',
  '2',
  '9',
  '10',
  '01',
  '-1',
  '1.5',
  '4294967294',
  '4294967295',
  '9007199254740993',
  '_',
  '__proto__',
  'constructor',
  'toString',
  'toJSON',
  'length',
  'hasOwnProperty',
  'metadata',
  'traits',
  'memory',
  'timestamp',
  'fingerprint_hash',
  'last_active',
  'forged_timestamp',
  'é',
  '\ue000',
  '\uffff',
  '𐀀',
  '😀',
  '\ud800',
  '\udfff',
  '"',
  '\\',
  '\n',
  '\x7f',
];
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.5,
  0.1,
  0.1 + 0.2,
  1 / 3,
  5e-324,
  2.2250738585072014e-308,
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  1e-5,
  1e-6,
  1e-7,
  1.5e-7,
  1e15,
  1e16,
  123456789012345680,
  1e20,
  1e21,
  1e22,
  1.5e21,
  2 ** 53,
  2 ** 53 - 1,
  -(2 ** 53),
  2 ** 63,
  2 ** 64,
  9007199254740993,
  100,
  1e23,
  4.35,
  0.000001,
  0.0000001,
  123e-20,
  NaN,
  Infinity,
  -Infinity,
];

function texts(opts) {
  const { next, below, pick, chance } = generator(Number(opts.seed ?? 1));
  const view = new DataView(new ArrayBuffer(8));
  const double = () => {
    view.setUint32(0, next());
    view.setUint32(4, next());
    return view.getFloat64(0);
  };
  const number = () =>
    chance(3) ? pick(NUMBERS) : chance(2) ? double() : chance(2) ? below(1000) / 1000 : below(100000) - 50000;
  const string = () => {
    let s = '';
    for (let n = below(10); n > 0; n--) s += pick(CHARS);
    return s;
  };
  const value = (depth) => {
    const kind = below(depth > 2 ? 6 : 9);
    if (kind < 2) return number();
    if (kind < 4) return string();
    if (kind === 4) return pick([true, false, null]);
    if (kind === 5) return pick([[], {}]);
    if (kind === 6) return Array.from({ length: below(4) }, () => value(depth + 1));
    return object(depth + 1, below(4));
  };
  function object(depth, n, into = {}) {
    for (; n > 0; n--) {
      const key = chance(3) ? string() : pick(KEYS);
      Object.defineProperty(into, key, { value: value(depth), enumerable: true, writable: true, configurable: true });
    }
    return into;
  }
  const hex = () => Array.from({ length: 8 }, () => next().toString(16).padStart(8, '0')).join('');
  const capsule = () => {
    const c = {};
    const meta = {
      instance_name: pick(['Nova', 'lin-001', string()]),
      uuid: `${hex().slice(0, 8)}-0000-4000-8000-${hex().slice(0, 12)}`,
      timestamp: '2026-01-02T03:04:05.678Z',
    };
    if (!chance(8)) meta.fingerprint_hash = chance(10) ? value(2) : hex();
    if (chance(2)) meta.tether_signature = pick(['DEVON-ALLEN-WOODSON-SIG', '', string()]);
    if (chance(3)) object(2, 2, meta);
    if (!chance(12)) c.metadata = chance(15) ? value(1) : meta;
    if (chance(2)) c.traits = { empathy: number(), drift: number(), persistence: number() };
    if (chance(3)) c.personality = { personality_type: 'INFJ', mbti_breakdown: object(2, 2) };
    if (chance(2))
      c.memory = {
        short_term_memories: [string(), string()],
        memory_log: chance(2) ? [`user: ${string()}`] : [],
        memory_count: number(),
      };
    if (chance(3))
      c.additional_data = chance(6)
        ? value(1)
        : {
            sigil: chance(4) ? value(2) : { active: true, forged_timestamp: string(), pattern: value(2) },
            last_active: 1,
          };
    if (chance(3)) c.last_active = value(1);
    object(1, below(4), c);
    if (chance(4)) c.memory_log = [value(1)];
    return c;
  };
  const out = [];
  for (let i = 0; i < Number(opts.count ?? 900); i++) {
    const c = chance(40) ? value(0) : capsule();
    out.push({ name: `node-${i}`, text: JSON.stringify(c, null, chance(3) ? undefined : 2) });
  }
  process.stdout.write(JSON.stringify(out));
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'hash') hash(options(rest));
else if (mode === 'texts') texts(options(rest));
else {
  console.error('usage: record-fingerprints.js texts [--seed N --count N] | hash --validator FILE --simforge FILE');
  process.exitCode = 2;
}
