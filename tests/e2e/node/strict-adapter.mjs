// Storage in memory that uses a token up atomically: of many that try, one succeeds, and the others are
// refused as any later use is. It forgets nothing before its time, so chains may be as long as a test likes.

import { errors } from 'oidc-provider';

const rows = new Map();
const rowsOfGrant = new Map();

export class StrictAdapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    const key = this.#key(id);
    rows.set(key, {
      payload,
      expiresAt: expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000,
    });
    if (payload.grantId !== undefined) {
      const keys = rowsOfGrant.get(payload.grantId) ?? new Set();
      rowsOfGrant.set(payload.grantId, keys.add(key));
    }
  }

  async find(id) {
    const row = rows.get(this.#key(id));
    return row !== undefined && row.expiresAt > Date.now() ? { ...row.payload } : undefined;
  }

  async findByUid(uid) {
    return this.#findBy('uid', uid);
  }

  async findByUserCode(userCode) {
    return this.#findBy('userCode', userCode);
  }

  async consume(id) {
    const row = rows.get(this.#key(id));
    if (row === undefined || row.payload.consumed !== undefined) {
      throw new errors.InvalidGrant(`${this.model} is used by a concurrent request`);
    }
    row.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    const key = this.#key(id);
    const row = rows.get(key);
    rows.delete(key);
    rowsOfGrant.get(row?.payload.grantId)?.delete(key);
  }

  async revokeByGrantId(grantId) {
    for (const key of rowsOfGrant.get(grantId) ?? []) rows.delete(key);
    rowsOfGrant.delete(grantId);
  }

  #key(id) {
    return `${this.model}:${id}`;
  }

  async #findBy(property, value) {
    for (const [key, { payload }] of rows) {
      if (key.startsWith(`${this.model}:`) && payload[property] === value) {
        return this.find(key.slice(this.model.length + 1));
      }
    }
    return undefined;
  }
}
