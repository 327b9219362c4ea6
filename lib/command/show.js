'use strict';

const { CapsuleLoader } = require('../..');
const { withCode } = require('../errors');
const { examples, nonEmpty } = require('./arguments');
const { bold, capsuleTime, cell, dim, green, red, yellow } = require('./output');
const { escapeHarmful } = require('../harmless');

/** @typedef {import('../../index').Vault} Vault */
/** @typedef {import('../../index').CapsuleMetadata} CapsuleMetadata */
/** @typedef {import('../../index').ConstructState} ConstructState */
/** @typedef {import('../../index').Integrity} Integrity */
/** @typedef {InstanceType<typeof import('./output').Output>} Output */
/**
 * @typedef {object} Capsule
 * @property {ConstructState} state
 * @property {CapsuleMetadata | null} metadata Its entry in the store's index.
 * @property {Integrity | null} integrity `null` for one that lies elsewhere: the newest sound one was taken.
 * @property {string | null} reason Why it is not sound.
 */

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addShow(program, onVault) {
  program
    .command('show')
    .summary('What a capsule holds: traits, personality, memories.')
    .description(
      "What a capsule holds: of an instance in the vault's store, else of a construct, wherever in the vault it lies.",
    )
    .argument('<name>', "an instance's name, or any name of a construct")
    .option('--version <version>', "'latest' (the one stored last), or a UUID", nonEmpty)
    .option('--uuid <uuid>', 'the version with this UUID', nonEmpty)
    .option('--tag <tag>', 'the newest version that has this tag', nonEmpty)
    .option('--user <user>', "the construct in this user's folders or the vault's own")
    .option('--environment', 'also the environment, which may hold secrets')
    .option('--raw', "the capsule's own text, byte for byte where it goes into a file or another program")
    .addHelpText(
      'after',
      examples(
        'one object { metadata, integrity, reason, instanceName, uuid, timestamp, traits, personality, memories,\n' +
          'additionalData }; metadata and integrity are null for a construct that is not in the store.',
        'show Nova',
        'show Nova --tag before-the-move',
        'show nova-001 --user mira_lindqvist_1741035327000',
        'show Nova --raw > nova.capsule',
      ),
    )
    .action(
      onVault(async ({ vault, output, options }, name) => {
        vault.on('capsule:rejected', ({ path: file, reason }) => output.problem`${file}: ${cell(reason)}`);
        const { version, uuid, tag, user, raw, environment } = options;
        const isStored = user === undefined && (await hasVersions(vault, name));
        if (raw) {
          if (!isStored) throw notStored(name);
          const found = await vault.retrieveCapsule(name, { version, uuid, tag });
          if (found.capsuleJson === null) output.problem`${cell(found.errorMessage)}`;
          else output.raw(process.stdout.isTTY ? `${escapeHarmful(found.capsuleJson)}\n` : found.capsuleJson);
          if (found.integrityValid === false) output.failed = true;
          return;
        }
        const capsule = isStored
          ? await storedCapsule(vault, name, { version, uuid, tag })
          : await constructCapsule(vault, name, { version, uuid, tag, user });
        if (capsule.reason !== null) output.problem`${name} is not sound: ${capsule.reason}`;
        if (output.isJson) {
          const { environment: secrets, memoryLog: _texts, ...state } = capsule.state;
          const { metadata, integrity, reason } = capsule;
          output.json({ metadata, integrity, reason, ...state, ...(environment ? { environment: secrets } : {}) });
        } else {
          print(output, capsule, Boolean(environment));
        }
      }),
    );
}

/**
 * An instance stays when all its versions are deleted; then a construct that lies elsewhere is what is left.
 *
 * @param {Vault} vault
 * @param {string} name
 */
async function hasVersions(vault, name) {
  const info = await vault.getInstanceInfo(name);
  return info !== null && info.total_capsules > 0;
}

/**
 * @param {Vault} vault
 * @param {string} name
 * @param {{ version?: string, uuid?: string, tag?: string }} version
 * @returns {Promise<Capsule>}
 */
async function storedCapsule(vault, name, version) {
  const { capsuleData, metadata, errorMessage, integrity, integrityValid } = await vault.retrieveCapsule(name, version);
  if (capsuleData === null) throw withCode(new Error(errorMessage ?? 'not found'), 'VVAULT_NOT_FOUND');
  const state = new CapsuleLoader().restoreConstruct(capsuleData);
  return { state, metadata, integrity, reason: integrityValid === false ? cell(errorMessage) : null };
}

/**
 * @param {Vault} vault
 * @param {string} name
 * @param {{ version?: string, uuid?: string, tag?: string, user?: string }} of
 * @returns {Promise<Capsule>}
 */
async function constructCapsule(vault, name, { version, uuid, tag, user }) {
  const wanted = uuid ?? (version === 'latest' ? undefined : version);
  const state = await vault.restoreConstruct(name, { uuid: wanted, tag, userId: user });
  // Only a vault that lets it pass has it, and marks its memories.
  const isUnsound = state.memories.some(({ metadata }) => 'integrity' in metadata);
  return { state, metadata: null, integrity: null, reason: isUnsound ? 'its hash is not that of what it holds' : null };
}

/** @param {string} name */
function notStored(name) {
  const message = `--raw is for instances in the vault's store, and ${name} is none: vvault list --files tells where it lies`;
  return withCode(new Error(message), 'VVAULT_NOT_FOUND');
}

/**
 * @param {Output} output
 * @param {Capsule} capsule
 * @param {boolean} withEnvironment
 */
function print(output, { state, metadata, integrity, reason }, withEnvironment) {
  output.line`${bold(cell(state.instanceName))}  ${cell(state.uuid)}  ${dim(capsuleTime(state.timestamp))}`;
  if (reason !== null) output.line`${red('not sound')}: ${reason}`;
  else if (integrity?.recipe) output.line`${green('sound')}, by recipe ${integrity.recipe}`;
  else if (integrity) output.line`${yellow('no hash stated')}`;
  if (metadata) {
    output.line`stored ${capsuleTime(metadata.created_at)} as capsules/${metadata.instance_name}/${metadata.filename}`;
    if (metadata.tags.length > 0) output.line`tags: ${metadata.tags.join(', ')}`;
  }
  printMembers(output, 'Traits', state.traits);
  printMembers(output, 'Personality', state.personality);
  if (withEnvironment) printMembers(output, 'Environment', state.environment);
  if (state.memories.length === 0) return;
  output.line`\n${bold(`Memories (${state.memories.length})`)}`;
  output.table(
    [{ title: 'KIND' }, { title: 'ROLE' }, { title: 'CONTENT' }],
    state.memories.map(({ metadata: { kind }, role, content }) => [kind, role, content]),
  );
}

/**
 * @param {Output} output
 * @param {string} title
 * @param {Record<string, unknown>} members
 */
function printMembers(output, title, members) {
  const rows = Object.entries(members).map(([name, value]) => [name, listed(value)]);
  if (rows.length === 0) return;
  output.line`\n${bold(title)}`;
  output.table([{ title: 'NAME' }, { title: 'VALUE' }], rows);
}

/** @param {unknown} value */
function listed(value) {
  if (Array.isArray(value)) return value.map(cell).join(', ');
  if (typeof value !== 'object' || value === null) return cell(value);
  return Object.entries(value)
    .map(([name, member]) => `${name} ${cell(member)}`)
    .join(', ');
}

module.exports = addShow;
