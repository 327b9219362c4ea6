'use strict';

// What the first bytes of a compiled file tell: for which machine it is, and whether it is whole.

const fs = require('node:fs');

/** The numbers of processors, in the format of each system. @type {Record<string, [number, string][]>} */
const PROCESSORS = {
  linux: [
    [0x3e, 'x64'],
    [0xb7, 'arm64'],
  ],
  darwin: [
    [0x01000007, 'x64'],
    [0x0100000c, 'arm64'],
  ],
  win32: [
    [0x8664, 'x64'],
    [0xaa64, 'arm64'],
  ],
};

/**
 * @param {string} file
 * @returns {{ system: string, processor: string, isWhole: boolean } | null} In Node.js's words, where it has some; `null`
 *   for what is no compiled file.
 */
function inspect(file) {
  const descriptor = fs.openSync(file, 'r');
  try {
    const size = fs.fstatSync(descriptor).size;
    const head = Buffer.alloc(4096);
    fs.readSync(descriptor, head, 0, head.length, 0);
    return understand(head, size);
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * @param {Buffer} head
 * @param {number} size
 */
function understand(head, size) {
  if (head.readUInt32BE(0) === 0x7f454c46) {
    // The table of sections is what linkers write last.
    const end = Number(head.readBigUInt64LE(40)) + head.readUInt16LE(58) * head.readUInt16LE(60);
    return described('linux', head.readUInt16LE(18), end <= size);
  }
  if (head.readUInt32LE(0) === 0xfeedfacf) return described('darwin', head.readUInt32LE(4), true);
  const place = head.readUInt32LE(60);
  const isWindows = head.toString('latin1', 0, 2) === 'MZ' && place < head.length - 6;
  if (isWindows && head.toString('latin1', place, place + 4) === 'PE\0\0') {
    return described('win32', head.readUInt16LE(place + 4), true);
  }
  return null;
}

/**
 * @param {string} system
 * @param {number} number
 * @param {boolean} isWhole
 */
function described(system, number, isWhole) {
  const known = PROCESSORS[system].find(([each]) => each === number);
  return { system, processor: known?.[1] ?? `processor ${number}`, isWhole };
}

module.exports = { inspect };
