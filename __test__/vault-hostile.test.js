'use strict';

// A vault whose files were made to do harm.

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { Vault } = require('..');
const { REPOSITORY, temporaryVault } = require('./support/temporary-vault');

test('a file name in an index that leads out of the instance’s folder is neither read nor deleted', async (t) => {
  const { root: folder } = temporaryVault(t);
  const victim = path.join(folder, 'victim.capsule');
  const vault = await Vault.open(path.join(folder, 'vault'), { create: true, cacheDir: null });
  const capsule = JSON.parse(fs.readFileSync(path.join(REPOSITORY, 'example/nova-001.capsule'), 'utf8'));
  capsule.metadata.instance_name = 'Nova';
  await vault.storeCapsule(capsule, { refingerprint: true });
  fs.writeFileSync(victim, JSON.stringify(capsule));

  const file = path.join(vault.root, 'indexes', 'Nova_index.json');
  const index = JSON.parse(fs.readFileSync(file, 'utf8'));
  const [entry] = Object.values(index.capsules);
  index.capsules.evil = { ...entry, uuid: 'evil', filename: '../../../victim.capsule' };
  fs.writeFileSync(file, JSON.stringify(index, null, 2));

  assert.ok(!(await vault.retrieveCapsule('Nova', { uuid: 'evil' })).success);
  await vault.deleteCapsule('Nova', 'evil');
  await vault.close();
  assert.ok(fs.existsSync(victim));
});
