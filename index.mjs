import vvault from './index.js';

export const { readMemories } = vvault;
export default vvault;
