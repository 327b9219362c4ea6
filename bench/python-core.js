'use strict';

/**
 * VVAULT's own store, Python's VVAULTCore, where a checkout of VVAULT is at hand: `VVAULT_PYTHON_CORE` names its folder,
 * and `VVAULT_PYTHON` the interpreter if it is not `python3`.
 */

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');

const SCRIPT = path.join(__dirname, 'python-core.py');
const INTERPRETER = process.env.VVAULT_PYTHON ?? 'python3';
const TIME_LIMIT_MS = 300_000;

/** @returns {string | undefined} the folder of the checkout */
function pythonCore() {
  const checkout = process.env.VVAULT_PYTHON_CORE;
  return checkout && fs.existsSync(path.join(checkout, 'vvault', 'memory', 'vvault_core.py')) ? checkout : undefined;
}

/**
 * @param {'store' | 'retrieve' | 'list' | 'verify'} task
 * @param {object} parameters
 * @returns {Promise<object>} its report
 */
async function runPythonCore(task, parameters) {
  const { stdout } = await promisify(execFile)(INTERPRETER, [SCRIPT, pythonCore(), task, JSON.stringify(parameters)], {
    timeout: TIME_LIMIT_MS,
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout);
}

module.exports = { pythonCore, runPythonCore };
