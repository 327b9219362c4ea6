import vvault from './index.js';

export const { CapsuleLoader, readMemories } = vvault;
export default vvault;
