import { effect } from '@preact/signals-core';
import { createEngine } from 'regraft';
import { mountEvaluate } from './evaluate/panel';
import { mountExport } from './export/panel';
import { Library } from './images/library';
import { mountImages } from './images/panel';
import { Thumbnails } from './images/thumbnails';
import { mountModel } from './model/panel';
import { BaseModel } from './model/state';
import { mountSteps } from './steps';
import { mountTrain } from './train/panel';
import { Trainer } from './train/trainer';
import { mountTry } from './try/panel';
import './styles/tokens.css';
import './styles/base.css';
import './styles/controls.css';
import './styles/layout.css';
import './model/model.css';
import './images/images.css';
import './train/train.css';
import './evaluate/evaluate.css';
import './try/try.css';
import './export/export.css';

const engine = createEngine();
const base = new BaseModel(engine);
const library = new Library();
const thumbnails = new Thumbnails((id, reason) => library.reject(id, reason));
const trainer = new Trainer(engine, base, library);

mountSteps(engine, base, library, trainer);
mountModel(base);
mountImages(library, thumbnails);
mountTrain(base, library, trainer);
mountEvaluate(trainer, thumbnails);
mountTry(trainer);
mountExport(trainer);

effect(() => thumbnails.pauseIdle(trainer.running.value));
window.addEventListener('beforeunload', (event) => {
  if (library.total.value > 0) event.preventDefault(); // photos and results live in this page alone
});
void base.loadBundled();
