'use strict';

// What is written for programs and terminals, at any depth and length.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { escapeHarmful } = require('../lib/harmless');
const { jsonText } = require('../lib/json-text');

/** @param {number} depth @param {string} inside */
const nested = (depth, inside) => `${'['.repeat(depth)}${inside}${']'.repeat(depth)}`;

test('JSON of any depth is what JSON.parse would read again', () => {
  const inside = '{"a\\"b":[1,-0.5,1e+21,null,true,"\\u2028é\\ud800"],"__proto__":{"x":[]},"toString":{}}';
  const shallow = JSON.stringify(JSON.parse(inside));
  for (const depth of [0, 1, 100, 100_000]) {
    const text = jsonText(JSON.parse(nested(depth, inside)));
    assert.equal(text === nested(depth, shallow), true, `${depth}`);
  }
  const deep = JSON.parse(nested(100_000, '1'));
  const text = jsonText({ kept: null, gone: undefined, list: [undefined], deep });
  assert.equal(text === `{"kept":null,"list":[null],"deep":${nested(100_000, '1')}}`, true);
});

test('what is harmful is escaped in a text of any length', () => {
  const unit = `a\x7f${'\u{e0001}'}\u200d`;
  const escaped = 'a\\u007f\\udb40\\udc01\u200d';
  // Pairs of surrogates lie everywhere, also where it is taken to pieces.
  for (const before of ['', 'x', 'xx']) {
    const count = 220_000;
    assert.equal(escapeHarmful(before + unit.repeat(count)) === before + escaped.repeat(count), true);
  }
});
