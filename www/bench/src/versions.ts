/** Versions of the opponents, as installed; the build fills them in. */
declare const VERSIONS: Readonly<Record<'tfjs' | 'ort' | 'jax' | 'regraft', string>>;

export const versions = VERSIONS;
