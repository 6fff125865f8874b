// Types of web-build.mjs, which is plain JavaScript because the set-up runs on any Node from 18.
export function webIsFresh(): boolean
export function buildWeb(): Promise<void>
