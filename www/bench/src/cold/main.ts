// From opening the page to the first prediction. Each engine is fetched only where it is asked for.
import { fail, send } from '../report.js';

const engine = new URLSearchParams(location.search).get('engine');
const PHOTO = './imagenet/imagenet_01_559.jpg';

async function predict(): Promise<number> {
  switch (engine) {
    case 'regraft': return (await import('./regraft.js')).predict(PHOTO);
    case 'tfjs': return (await import('./tfjs.js')).predict(PHOTO);
    case 'ort': return (await import('./ort.js')).predict(PHOTO);
    default: throw new Error(`no engine ${String(engine)}`);
  }
}

predict().then((index) => send({ milliseconds: performance.now(), index }), fail).catch((error: unknown) => console.error(error));
