// Checked by the compiler: what the package implements fits the contract, under the same names.
import { test } from 'node:test';
import type * as contract from '../contract.js';
import type * as ours from '../../src/api.js';
import type { ErrorCode, RegraftError } from '../../src/errors.js';

type Expect<T extends true> = T;
/** No name the contract does not have, and every member assignable to the contract's. */
type Fits<O, C> = [Exclude<keyof O, keyof C>] extends [never] ? (O extends Pick<C, keyof O & keyof C> ? true : false) : false;

/** Methods of the same names that take what the contract's take: for those that return `this`. */
type TakeTheSame<O, C> = [Exclude<keyof O, keyof C>] extends [never]
  ? { [K in keyof O & keyof C]: Taken<O[K]> extends Taken<C[K]> ? never : K }[keyof O & keyof C] extends never ? true : false
  : false;
type Taken<F> = F extends (...taken: infer A) => unknown ? A : never;

/** Members that give objects of which a part is implemented; those parts are compared on their own. */
type Partial = 'transferLearning' | 'classifier' | 'transferLearningHelper';

export type Checks = [
  Expect<Fits<ours.EngineOptions, contract.EngineOptions>>,
  Expect<Fits<ours.DeviceInfo, contract.DeviceInfo>>,
  Expect<Fits<Omit<ours.Engine, 'load'>, contract.Engine>>,
  Expect<Fits<ours.LoadOptions, contract.LoadOptions>>,
  Expect<ours.ModelSource extends contract.ModelSource ? true : false>,
  Expect<Fits<ours.Preprocessing, contract.Preprocessing>>,
  Expect<Fits<ours.Tensor, contract.Tensor>>,
  Expect<Fits<ours.TensorInfo, contract.TensorInfo>>,
  Expect<Fits<ours.VertexSummary, contract.VertexSummary>>,
  Expect<Fits<Omit<ours.Model, Partial>, contract.Model>>,
  Expect<TakeTheSame<ours.TransferLearning, contract.TransferLearning>>,
  Expect<Fits<ours.FineTuneConfiguration, contract.FineTuneConfiguration>>,
  Expect<Fits<ours.TransferLearningHelper, contract.TransferLearningHelper>>,
  Expect<ours.Layer extends contract.Layer ? true : false>,
  Expect<Fits<ours.FeaturizeOptions, contract.FeaturizeOptions>>,
  Expect<Fits<ours.FeatureSet, contract.FeatureSet>>,
  Expect<ours.ImageInput extends contract.ImageInput ? true : false>,
  Expect<Fits<ours.Sample, contract.Sample>>,
  Expect<Fits<ours.DatasetOptions, contract.DatasetOptions>>,
  Expect<Fits<ours.Dataset, contract.Dataset>>,
  Expect<Fits<ours.FitOptions, contract.FitOptions>>,
  Expect<Fits<ours.Progress, contract.Progress>>,
  Expect<Fits<ours.History, contract.History>>,
  Expect<Fits<ours.Prediction, contract.Prediction>>,
  Expect<Fits<ours.Evaluation, contract.Evaluation>>,
  Expect<Fits<ours.ExportOptions, contract.ExportOptions>>,
  Expect<Fits<ours.ExportResult, contract.ExportResult>>,
  Expect<ErrorCode extends contract.ErrorCode ? contract.ErrorCode extends ErrorCode ? true : false : false>,
  Expect<Fits<Pick<RegraftError, 'code' | 'vertex' | 'detail'>, contract.RegraftError>>,
];

test('the types fit the contract: the compiler has said so', () => undefined);
