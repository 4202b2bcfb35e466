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

export const logOut = () => request("DELETE", "session");
