// Writes what is generated from config/schema.ts: the JSON Schema for editors and the settings page.
import { writeFileSync } from 'node:fs'
import { configJsonSchema } from '../config/json-schema.ts'
import { settingsPage } from '../config/settings-page.ts'

const target = (name: string) => new URL(`../${name}`, import.meta.url)
const schema = `${JSON.stringify(configJsonSchema(), null, 2)}\n`
writeFileSync(target('config/schema/nearcast.schema.json'), schema)
writeFileSync(target('docs/settings.md'), settingsPage())
