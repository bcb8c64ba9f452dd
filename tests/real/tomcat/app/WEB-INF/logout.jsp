<%@ page contentType="text/plain" session="false" %><% request.logout(); if (request.getSession(false) != null) request.getSession(false).invalidate(); %>signed out
