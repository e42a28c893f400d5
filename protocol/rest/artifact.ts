import { Type, type Static } from '@sinclair/typebox';

/** The answer to `PUT /v1/artifacts/{sha256}`. */
export const ArtifactUploadSchema = Type.Object({
  sha256: Type.String(),
  bytes: Type.Integer(),
  reference: Type.String({ description: 'what a job file names it by', examples: ['sha256:9f86d0...'] }),
});
export type ArtifactUpload = Static<typeof ArtifactUploadSchema>;
