// Starts the console.
import { render } from 'preact'
import { App } from './app.tsx'
import { SpeechProvider } from './speech.ts'

render(
  <SpeechProvider>
    <App />
  </SpeechProvider>,
  document.getElementById('page')!,
)
