'use strict';

const { readMemories } = require('./lib/read-memories');

module.exports = { readMemories };
