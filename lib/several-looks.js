'use strict';

const LOOKS = 5;

/**
 * What is read where it was found. A file may be replaced in between: then it is looked for again. What can't be found fails
 * at once.
 *
 * @template Found, Content
 * @param {() => Promise<Found>} find
 * @param {(found: Found) => Promise<Content>} read
 * @returns {Promise<Content>}
 */
async function severalLooks(find, read) {
  for (let look = 1; ; look += 1) {
    const found = await find();
    try {
      return await read(found);
    } catch (error) {
      if (look === LOOKS) throw error;
    }
  }
}

module.exports = { severalLooks };
