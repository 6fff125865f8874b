// The console's own words.
import { createSpeech } from '../common/speech.tsx'
import { catalogs, type MessageKey } from './messages.ts'

export const { SpeechProvider, useSpeech } = createSpeech<MessageKey>(catalogs)
export type { MessageKey } from './messages.ts'
