'use strict';

const { examples } = require('./arguments');

const JSON_FORM = 'one object { name, uuid, tag, done }.';

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addTagging(program, onVault) {
  const commands = /** @type {const} */ ([
    { name: 'tag', does: 'Gives a version a tag.', method: 'addTag', said: 'has the tag' },
    { name: 'untag', does: 'Takes a tag from a version.', method: 'removeTag', said: 'has no longer the tag' },
  ]);
  for (const { name: command, does, method, said } of commands) {
    program
      .command(command)
      .description(does)
      .argument('<name>', "the instance's name")
      .argument('<uuid>', "the version's UUID: vvault list NAME")
      .argument('<tag>', 'the tag')
      .addHelpText('after', examples(JSON_FORM, `${command} Nova 5d0c7f1e-6d0e-4a52-9a55-2f3b8f6f2c11 before-the-move`))
      .action(
        onVault(async ({ vault, output }, name, uuid, tag) => {
          const done = await vault[method](name, uuid, tag);
          if (output.isJson) output.json({ name, uuid, tag, done });
          else if (done) output.line`${name} ${uuid} ${said} ${tag}`;
          if (!done) output.problem`${name} has no version ${uuid}`;
        }),
      );
  }
}

module.exports = addTagging;
