'use strict';

/**
 * The process in which one contestant is measured once: `node child.js MODULE TASK PARAMETERS`, started by
 * `runInChild` of harness.js. Sends one message, `{ result }` or `{ error }`, and is then meant to end by itself.
 */

const [modulePath, taskName, parameters] = process.argv.slice(2);

async function main() {
  let message;
  try {
    message = { result: await require(modulePath).tasks[taskName](JSON.parse(parameters)) };
  } catch (error) {
    message = { error: `${taskName} of ${parameters}: ${error?.stack ?? error}` };
  }
  process.send(message, () => process.disconnect());
}

main();
