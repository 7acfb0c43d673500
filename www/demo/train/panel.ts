import { computed, effect } from '@preact/signals-core';
import type { Evaluation, Progress } from 'regraft';
import type { Library } from '../images/library';
import type { BaseModel } from '../model/state';
import { h, panelOf } from '../ui/dom';
import { count, percent, seconds, small } from '../ui/format';
import { problemView } from '../ui/problem';
import { ProgressBar } from '../ui/progress';
import { announce } from '../ui/status';
import { curveView } from './curve-view';
import { settingsForm } from './settings';
import type { Stage, Trainer, TrainResult } from './trainer';

export function mountTrain(base: BaseModel, library: Library, trainer: Trainer): void {
  const panel = panelOf('train');
  const settings = settingsForm(() => announce('Options are back at their defaults.'));
  const options = h('details', { class: 'options' }, h('summary', {}, 'Options'), settings.element);
  const train = h('button', { type: 'button', class: 'button primary large', onclick: begin }, 'Train');
  const stop = h('button', { type: 'button', class: 'button large', onclick: () => trainer.stop() }, 'Stop');
  const why = h('p', { class: 'muted', id: 'train-needs' });
  train.setAttribute('aria-describedby', why.id);
  const bars = progressView(trainer);
  const failure = h('div');
  const facts = h('div');
  panel.append(h('div', { class: 'row' }, train, stop, why), options, bars, failure, facts, curveView(trainer));

  function begin(): void {
    if (train.getAttribute('aria-disabled') === 'true') return;
    options.open ||= !settings.element.checkValidity(); // a field in a closed group cannot show what is wrong
    const chosen = settings.read();
    if (chosen) void trainer.start(chosen);
  }

  const missing = computed(() => whatIsMissing(base, library));
  effect(() => {
    const running = trainer.running.value;
    // aria-disabled keeps the button reachable, so that its reason can be heard
    train.ariaDisabled = String(running || missing.value !== undefined);
    const hadFocus = document.activeElement === train || document.activeElement === stop;
    train.hidden = running;
    stop.hidden = !running;
    if (hadFocus) (running ? stop : train).focus();
    stop.disabled = trainer.stopping.value;
    stop.textContent = trainer.stopping.value ? 'Stopping…' : 'Stop';
    train.textContent = trainer.result.value ? 'Train again' : 'Train';
    why.textContent = running ? '' : (missing.value ?? (trainer.stale.value ? 'Model, photos or classes changed since the last training.' : ''));
  });
  effect(() => {
    failure.replaceChildren(...(trainer.problem.value ? [problemView(trainer.problem.value)] : []));
  });
  effect(() => {
    const result = trainer.result.value;
    facts.replaceChildren(...(result && !trainer.running.value ? [factsView(result)] : []));
  });
}

function whatIsMissing(base: BaseModel, library: Library): string | undefined {
  const classes = library.classes.value;
  const names = classes.map((c) => c.name.value.trim());
  if (classes.length < 2) return 'Add photos of at least two classes first.';
  if (names.includes('')) return 'One class has no name yet.';
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) return `Two classes are called “${twice}”.`;
  const thin = classes.find((c) => c.photos.value.length < 2);
  if (thin) return `“${thin.name.value.trim()}” needs at least two photos; ten make a good start.`;
  if (!base.current.value) return 'The model is still loading.';
  return undefined;
}

function progressView(trainer: Trainer): HTMLElement {
  const look = new ProgressBar('Looking at the photos');
  const learn = new ProgressBar('Learning the classes');
  const element = h('div', { class: 'bars' }, look.element, learn.element);
  const order: readonly Stage[] = ['read', 'featurize', 'train', 'evaluate'];
  effect(() => {
    const stage = trainer.stage.value;
    element.hidden = stage === 'idle';
    if (stage === 'read') announce('Training started.');
    if (stage === 'train') announce('Looked at all photos, now learning.');
    const looked = order.indexOf(stage) >= order.indexOf('train');
    const p = trainer.progress.value;
    look.set(...(looked ? DONE : lookProgress(stage, p)));
    learn.set(...(stage === 'evaluate' ? TESTING : stage === 'train' && p ? learnProgress(p) : WAITING));
  });
  return element;
}

type Shown = readonly [share: number | undefined, detail: string];
const WAITING: Shown = [0, ''];
const DONE: Shown = [1, 'done'];
const TESTING: Shown = [1, 'testing'];

function lookProgress(stage: Stage, p: Progress | undefined): Shown {
  if (stage === 'read' || !p) return [undefined, 'reading files'];
  const left = p.secondsLeft !== undefined && Number.isFinite(p.secondsLeft) ? `, ${seconds(p.secondsLeft)} left` : '';
  return [p.done / Math.max(1, p.total), `${p.done} of ${p.total}, ${p.perSecond.toFixed(0)} a second${left}`];
}

function learnProgress(p: Progress): Shown {
  const loss = p.loss === undefined ? '' : `, loss ${small(p.loss)}`;
  const accuracy = p.accuracy === undefined ? '' : `, ${percent(p.accuracy)} right`;
  return [p.done / Math.max(1, p.total), `epoch ${p.epoch ?? 0}${loss}${accuracy}`];
}

/** What came out and where to go with it. `data-fact` marks the numbers for whoever drives the page by script. */
function factsView({ history, evaluation, featurize, trainCount, trainSeconds }: TrainResult): HTMLElement {
  const rate = featurize.images / Math.max(featurize.seconds, 1e-3);
  const all = featurize.images === trainCount + (evaluation?.count ?? 0);
  const looked = featurize.images === 0 ? ['Photos were known already; '] : [
    'Looked at ', fact('images', featurize.images, count(featurize.images, all ? 'photo' : 'new photo')), ' in ', fact('featurize-seconds', featurize.seconds, seconds(featurize.seconds)),
    ' (', fact('featurize-rate', rate, `${rate.toFixed(1)} a second`), '), ',
  ];
  const epochs = fact('epochs', history.epochs.length, count(history.epochs.length, 'epoch'));
  return h('div', { class: 'finished' },
    h('p', {}, verdict(evaluation), ' Next: ', h('a', { href: '#evaluate' }, 'see where it goes wrong'), ', ', h('a', { href: '#try' }, 'try a photo'), ' or ', h('a', { href: '#export' }, 'take the model with you'), '.'),
    h('p', { class: 'facts' }, ...looked, `learned from ${count(trainCount, 'photo')} in `, fact('train-seconds', trainSeconds, seconds(trainSeconds)), history.stoppedBy === 'aborted' ? ', stopped by you after ' : ', ', epochs, '.'));
}

function verdict(evaluation: Evaluation | undefined): HTMLElement {
  return h('strong', {}, evaluation ? `Done: ${percent(evaluation.accuracy)} of ${count(evaluation.count, 'test photo')} right.` : 'Done.');
}

function fact(name: string, value: number, text: string): HTMLElement {
  return h('data', { 'data-fact': name, value: String(value) }, text);
}
