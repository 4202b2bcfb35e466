// Who the visitor is, and what the server allows.

import { request } from "./client.js";

/** @typedef {{admitted: boolean, needs_password: boolean, limits: {upload_bytes: number, piece_bytes: number}, home: string}} Session */

/** @returns {Promise<Session>} */
export const getSession = () => request("GET", "session");

/**
 * @param {string} password one of the server's keys.
 * @returns {Promise<Session>}
 * @throws {ServerError} code "wrong_password".
 */
export const logIn = (password) => request("POST", "session", { password });

/**
 * Become the visitor who owns the server's folder.
 *
 * @param {string} code of the link that the server printed; it works once.
 * @returns {Promise<Session>}
 * @throws {ServerError} code "wrong_code".
 */
export const becomeOwner = (code) => request("POST", "owner", { code });

export const logOut = () => request("DELETE", "session");
