'use strict';

// Records what this Node.js's `Array.prototype.sort` makes of keys with NaN among them (`null` in the recording), where the
// comparator is no order and only V8's own steps decide:
//
//     node scripts/record-array-sort.js > __test__/recorded/array-sort.json

let state = 12345n;

/** @param {number} limit @returns {number} a whole number below it, the same at every run */
function random(limit) {
  state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
  return Number((state >> 33n) % BigInt(limit));
}

/** @param {number} number of the case @returns {number} how many keys it has */
function size(number) {
  if (number < 200) return 2 + random(40);
  if (number < 330) return 33 + random(120);
  if (number < 400) return 150 + random(500);
  return 700 + random(900);
}

const SHAPES = [
  (/** @type {number} */ at) => at,
  (/** @type {number} */ at, /** @type {number} */ count) => count - at,
  (/** @type {number} */ at) => (at % 37) * 5,
  (/** @type {number} */ at, /** @type {number} */ count) => (Math.floor(at / 40) % 2 ? at : count - at),
];

const lines = [];
for (let number = 0; number < 420; number += 1) {
  const count = size(number);
  const percentNan = [0, 1, 3, 10, 50][random(5)];
  const shape = SHAPES[random(6)];
  const range = [3, 20, 1000][random(3)];
  const keys = [];
  for (let at = 0; at < count; at += 1) {
    const key = shape ? shape(at, count) : random(range);
    keys.push(random(100) < percentNan ? null : key);
  }
  const items = keys.map((key, at) => ({ key: key ?? Number.NaN, at }));
  items.sort((left, right) => right.key - left.key);
  lines.push(JSON.stringify([keys, items.map(({ at }) => at)]));
}
console.log(`[\n${lines.join(',\n')}\n]`);
