'use strict';

const { refused } = require('../errors');
const { examples, nonEmpty } = require('./arguments');
const { capsuleTime, cell, dim } = require('./output');

/** @typedef {import('../../index').Vault} Vault */
/** @typedef {InstanceType<typeof import('./output').Output>} Output */

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addList(program, onVault) {
  program
    .command('list')
    .description("The instances in the vault's store, or the versions of one, newest first.")
    .argument('[name]', "an instance's name")
    .option('--tag <tag>', 'only versions that have this tag', nonEmpty)
    .option('--files', "every construct's capsule file under the vault instead, also those in users' folders")
    .addHelpText(
      'after',
      examples(
        'one instance a line, as vault.getInstanceInfo gives it; of a name, one version a line, as vault.listCapsules does;\n' +
          'of --files, one file a line, as vault.discoverCapsules does.',
        'list',
        'list Nova --tag before-the-move',
        "list Nova --json | jq -r '.uuid'",
        'list --files',
      ),
    )
    .action(
      onVault(async ({ vault, output, options }, name) => {
        const { files, tag } = options;
        if (files && name !== undefined) throw refused('--files lists every file: give it without NAME');
        if (tag !== undefined && name === undefined)
          throw refused('--tag chooses among the versions of one: give NAME');
        if (files) await listFiles(vault, output);
        else if (name === undefined) await listInstances(vault, output);
        else await listVersions(vault, output, name, tag);
      }),
    );
}

/**
 * @param {Vault} vault
 * @param {Output} output
 */
async function listInstances(vault, output) {
  const found = [];
  for (const name of await vault.listInstances()) {
    const info = await vault.getInstanceInfo(name).catch((error) => {
      // Python takes names that this package refuses. The others are listed.
      output.problem`${name}: ${error.message}`;
      return null;
    });
    if (info === null) continue;
    if (output.isJson) output.json(info);
    else found.push(info);
  }
  if (output.isJson) return;
  if (found.length === 0)
    output.note`${vault.root} has no capsules in its store (--files: look into users' folders too)`;
  else {
    output.table(
      [
        { title: 'NAME', isWhole: true },
        { title: 'VERSIONS', isRight: true },
        { title: 'CHANGED (UTC)' },
        { title: 'TAGS' },
      ],
      found.map(({ instance_name: name, total_capsules: total, updated_at: updated, tags }) => [
        name,
        total,
        dim(capsuleTime(updated)),
        Object.entries(tags)
          .map(([tag, count]) => `${tag} (${count})`)
          .join(', '),
      ]),
    );
  }
}

/**
 * @param {Vault} vault
 * @param {Output} output
 * @param {string} name
 * @param {string} [tag]
 */
async function listVersions(vault, output, name, tag) {
  const versions = await vault.listCapsules(name, { tag });
  if (output.isJson) for (const version of versions) output.json(version);
  if (versions.length === 0) {
    if ((await vault.getInstanceInfo(name)) === null) {
      output.problem`there is no instance ${name} in the store of ${vault.root}: vvault list tells which there are`;
    } else if (tag === undefined) {
      output.note`${name} has no versions`;
    } else {
      output.note`no version of ${name} has the tag ${tag}`;
    }
  } else if (!output.isJson) {
    output.table(
      [
        { title: 'UUID', isWhole: true },
        { title: 'TIME (UTC)' },
        { title: 'TAGS' },
        { title: 'STORED (UTC)', isExtra: true },
        { title: 'GENERATOR', isExtra: true },
        { title: 'BYTES', isRight: true, isExtra: true },
      ],
      versions.map((version) => [
        version.uuid,
        capsuleTime(version.timestamp),
        version.tags.join(', '),
        dim(capsuleTime(version.created_at)),
        cell(version.generator),
        version.file_size,
      ]),
    );
  }
}

/**
 * @param {Vault} vault
 * @param {Output} output
 */
async function listFiles(vault, output) {
  const files = await vault.discoverCapsules();
  if (output.isJson) for (const file of files) output.json(file);
  else if (files.length === 0) output.note`${vault.root} has no construct's capsule`;
  else {
    output.table(
      [
        { title: 'INSTANCE' },
        { title: 'TIME (UTC)' },
        { title: 'BYTES', isRight: true },
        { title: 'FILE', isWhole: true },
      ],
      files.map((file) => [
        cell(file.instanceName),
        capsuleTime(file.timestamp),
        file.size,
        file.path.slice(vault.root.length + 1),
      ]),
    );
  }
}

module.exports = addList;
