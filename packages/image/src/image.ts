import type { ImagePlatform, JsonObject } from "@millrace/core";
import type { RepositoryName } from "./reference.ts";

/** How long work may take, and who hears of it. */
export interface Context {
  readonly signal: AbortSignal;
  /** Tells the user what is going on: one short present-tense sentence. */
  progress(message: string): void;
}

/** Compressed bytes of a layer. */
export interface Blob {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** OCI's name. */
  readonly mediaType: string;
  /** Where a registry has it; null for what was made here. */
  readonly from: RepositoryName | null;
  /** Checked against the digest by the time that it ends. */
  open(start?: number): AsyncIterable<Uint8Array>;
}

export interface Layer {
  /** `runtime`, `dependencies`, `code`, or `base` for those of the base image. */
  readonly name: string;
  /** Digest of the uncompressed tar. */
  readonly diffId: string;
  /** Null for a layer that only an engine has. */
  readonly blob: Blob | null;
}

/** An image that layers are put on. */
export interface BaseImage {
  /** As it was asked for, in full. */
  readonly reference: string;
  /** Digest of its manifest for the platform; null for an image of an engine. */
  readonly digest: string | null;
  readonly platform: ImagePlatform;
  /** Processor variant, such as `v8`. */
  readonly variant: string | null;
  /** The part `config` of the OCI image configuration. */
  readonly config: JsonObject;
  readonly history: readonly JsonObject[];
  /** Lowest first. */
  readonly layers: readonly Layer[];
}

/** A JSON document of an image, as the bytes that its digest is made from. */
export interface Document {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface Image {
  readonly platform: ImagePlatform;
  /** Lowest first: those of the base image, then ours. */
  readonly layers: readonly Layer[];
  /** Its digest is the image's id in an engine. */
  readonly config: Document;
  /** Null when the base's layers are only in an engine: then the image can be loaded there, and not be pushed. */
  readonly manifest: Document | null;
  /** Bytes of all blobs and documents that are known. */
  readonly size: number;
}
