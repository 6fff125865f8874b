// Loaded into npm, which leaves out optional packages that are not for the Node it runs on: the packages here
// are for the Node that comes with them. Only what npm believes changes, not what it runs on.
'use strict'
Object.defineProperty(process, 'version', { value: process.env.NEARCAST_NODE_VERSION })
