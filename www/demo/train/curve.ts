import type { History, Progress } from 'regraft';

export interface CurvePoint { epoch: number; loss: number; accuracy: number; valLoss: number | undefined; valAccuracy: number | undefined }

/** The newest numbers of each epoch, while it runs. */
export function extend(curve: readonly CurvePoint[], { epoch, loss, accuracy, valLoss, valAccuracy }: Progress): readonly CurvePoint[] {
  if (epoch === undefined || loss === undefined || accuracy === undefined) return curve;
  const before = curve.at(-1)?.epoch === epoch ? curve.slice(0, -1) : curve;
  return [...before, { epoch, loss, accuracy, valLoss, valAccuracy }];
}

export function final(history: History): readonly CurvePoint[] {
  return history.epochs.map(({ epoch, loss, accuracy, valLoss, valAccuracy }) => ({ epoch, loss, accuracy, valLoss, valAccuracy }));
}
