import vvault from './index.js';

export const { CapsuleLoader, Vault, readMemories } = vvault;
export default vvault;
