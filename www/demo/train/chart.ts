import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { h, oncePerFrame } from '../ui/dom';

const HEIGHT = 190; // CSS pixels

interface ChartOptions { title: string; format(value: number): string; tick(value: number): string; /** Fixed top of the y axis, or the data's own. */ top?: number }

/** Two lines over epochs, training and validation, in the page's colours. The numbers stand in a table beside it. */
export class Chart {
  readonly element: HTMLElement;
  readonly #picture: HTMLElement;
  readonly #plot: uPlot;
  readonly #format: (value: number) => string;
  readonly #title: string;

  constructor({ title, format, tick, top }: ChartOptions) {
    this.#format = format;
    this.#title = title;
    const place = (this.#picture = h('div', { class: 'chart-plot', role: 'img', ariaLabel: title }));
    this.element = h('figure', { class: 'chart' }, h('figcaption', {}, title), place);
    const colour = (name: string) => () => getComputedStyle(this.element).getPropertyValue(name);
    const axis: uPlot.Axis = { stroke: colour('--muted'), font: '12px system-ui, sans-serif', grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, gap: 6 };
    const range: uPlot.Range.MinMax = [0, top ?? 1];
    this.#plot = new uPlot({
      width: 320, height: HEIGHT, legend: { show: false }, cursor: { show: false }, padding: [10, 8, 0, 0],
      scales: { x: { time: false }, y: { range: (_plot, _min, max) => (top === undefined ? [0, max > 0 ? max * 1.05 : 1] : range) } },
      axes: [{ ...axis, size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500], grid: { show: false } }, { ...axis, size: 46, values: (_plot, ticks) => ticks.map((v) => tick(v)) }],
      series: [
        {},
        { stroke: colour('--accent'), width: 2, points: { show: false } },
        { stroke: colour('--second'), width: 2, dash: [6, 4], points: { show: false }, spanGaps: true },
      ],
    }, [[], [], []], place);
    new ResizeObserver(oncePerFrame(() => this.#plot.setSize({ width: Math.max(120, place.clientWidth), height: HEIGHT }))).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#plot.redraw(false, true));
  }

  set(epochs: readonly number[], train: readonly number[], validation: readonly (number | undefined)[]): void {
    this.#plot.setData([[...epochs], [...train], validation.map((v) => v ?? null)]);
    const last = train.at(-1);
    const lastValidation = validation.at(-1);
    const held = lastValidation === undefined ? '' : `, validation ${this.#format(lastValidation)}`;
    this.#picture.ariaLabel = last === undefined ? `${this.#title}, no data yet` : `${this.#title} after epoch ${epochs.at(-1)}: training ${this.#format(last)}${held}`;
  }
}
