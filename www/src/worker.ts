// Every worker in a browser: the engine's and the trunk pool's.
import type { Boot } from './protocol.js';
import { decodeInBrowser } from './worker/decode-browser.js';
import { serve } from './worker/serve.js';

// A rejection would stay in here; a reported error reaches the page.
addEventListener('message', ({ data }: MessageEvent<Boot>) => void serve(data, decodeInBrowser).catch(reportError), { once: true });
