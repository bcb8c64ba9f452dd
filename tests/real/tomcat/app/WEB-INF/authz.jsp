<%@ page contentType="application/json" session="false" %>{"allowed": true}
