// Starts the watch page.
import { render } from 'preact'
import { systemClock } from '../../common/clock.ts'
import { loadEngine } from './player/load-engine.ts'
import { readAddress } from './programme.ts'
import { SpeechProvider } from './speech.ts'
import { WatchPage } from './watch-page.tsx'

const address = readAddress(location.pathname, location.search)
const wantsDash = new URLSearchParams(location.search).get('protocol') === 'dash'
const protocol = wantsDash ? 'dash' : 'hls'

// The player's code comes while the status is asked for: that is a third of the first picture's time.
if (address) loadEngine(protocol, document.createElement('video')).catch(() => {})

render(
  <SpeechProvider>
    <WatchPage address={address} protocol={protocol} clock={systemClock} />
  </SpeechProvider>,
  document.getElementById('page')!,
)
