import vvault from './index.js';

export const { CapsuleLoader, VVAULTClient, Vault, createCapsuleHandler, readMemories } = vvault;
export default vvault;
