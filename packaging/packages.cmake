# Debian packages of the worker and of the extension for one PostgreSQL: scripts/package makes them.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pg-billing)
set(CPACK_PACKAGE_CONTACT "pg_billing's maintainers <maintainers@localhost>")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
# What `make install` of PGXS writes goes where DESTDIR says.
set(CPACK_SET_DESTDIR ON)
set(CPACK_COMPONENTS_ALL worker)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)

set(CPACK_DEBIAN_WORKER_PACKAGE_NAME pg-billing-worker)
set(CPACK_DEBIAN_WORKER_PACKAGE_SECTION database)
set(CPACK_DEBIAN_WORKER_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_WORKER_PACKAGE_SUGGESTS prometheus)
set(CPACK_COMPONENT_WORKER_DESCRIPTION "Stripe webhooks into PostgreSQL: the worker
 Receives Stripe's webhooks over HTTP, checks their signatures, and hands them to the
 PostgreSQL extension pg_billing; acknowledges what is committed.")
set(CPACK_DEBIAN_WORKER_PACKAGE_CONTROL_EXTRA
    "${CMAKE_SOURCE_DIR}/packaging/debian/postinst;${CMAKE_SOURCE_DIR}/packaging/debian/prerm;${CMAKE_SOURCE_DIR}/packaging/debian/postrm")

if(PG_BILLING_EXTENSION)
  list(APPEND CPACK_COMPONENTS_ALL extension)
  execute_process(COMMAND ${PG_CONFIG} --version OUTPUT_VARIABLE pg_version)
  string(REGEX MATCH "[0-9]+" pg_major "${pg_version}")
  set(CPACK_DEBIAN_EXTENSION_PACKAGE_NAME postgresql-${pg_major}-pg-billing)
  set(CPACK_DEBIAN_EXTENSION_PACKAGE_SECTION database)
  set(CPACK_DEBIAN_EXTENSION_PACKAGE_DEPENDS postgresql-${pg_major})
  set(CPACK_DEBIAN_EXTENSION_PACKAGE_RECOMMENDS "pg-billing-worker, postgresql-${pg_major}-cron")
  set(CPACK_COMPONENT_EXTENSION_DESCRIPTION "Stripe subscriptions, entitlements and credits inside PostgreSQL
 The extension pg_billing for PostgreSQL ${pg_major}: tables and functions that applications
 call in their own transactions.")
endif()

include(CPack)
