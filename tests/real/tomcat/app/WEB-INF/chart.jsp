<%@ page contentType="text/html; charset=utf-8" session="false" %><!doctype html>
<title>Chart</title><h1>Chart ${pageContext.request.pathInfo}</h1><p>seen by ${pageContext.request.remoteUser}</p>
