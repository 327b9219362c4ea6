export * from './index.js';

declare const vvault: Omit<typeof import('./index.js'), 'default'>;
export default vvault;
